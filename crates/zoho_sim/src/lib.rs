//! A truthful Zoho: the CRM API's Contacts and the accounts server, on one port.
//!
//! ```text
//!                     ┌ consent, oauth ─▶ grants          codes, tokens and their limits
//!  request ─▶ observe ┤
//!             faults, └ crm ─▶ list, record, deleted, write ─▶ contacts, render, paging_token
//!             Date,
//!             log     /_sim/… ─▶ sim_api ─▶ clock, faults, mutate, switches, stats
//! ```
//!
//! It follows Zoho's documents and recordings where there are any; where Zoho is silent it assumes
//! the worse case (a `page_token` pins no snapshot; a refused refresh asked again extends the
//! block). It knows nothing of any client. One user, one client, one module.
//!
//! Not here: `/search`, COQL, upsert, bulk jobs and notifications, modules other than Contacts,
//! conditional writes, multipart forms, TLS.
//!
//! # What is served
//!
//! | path | |
//! |---|---|
//! | `GET`, `POST /oauth/v2/auth` | the consent page and its Accept and Deny |
//! | `POST /oauth/v2/token`, `…/token/revoke` | form or query; never JSON |
//! | `GET /oauth/serverinfo` | the data centres, all of them this server |
//! | `GET /crm/{v2, v2.1, v3 … v8}/Contacts` | v2: all fields, pages by number without end; v3 on: `fields`, 2,000 records by number, then tokens |
//! | `GET …/Contacts/{id}`, `GET …/Contacts/deleted` | |
//! | `POST`, `PUT`, `DELETE …/Contacts`, `PUT`, `DELETE …/Contacts/{id}` | `Modified_Time` moves |
//!
//! # The switches
//!
//! All under `/_sim`, JSON, no sign-in. Durations are `90s`, `10m` or `PT24H`; times are RFC 3339.
//! `faults` and `mutate` take one order or an array.
//!
//! | request | body | effect |
//! |---|---|---|
//! | `GET`, `DELETE /_sim/stats` | | [`Stats`]; clear them |
//! | `GET`, `DELETE /_sim/requests` | | the last 1,000 requests, oldest first, without credentials; forget them |
//! | `GET /_sim/clock` | | `now`, `user_time`, `frozen` |
//! | `POST /_sim/clock` | `{"advance":"90s"}` | move on |
//! | | `{"set":"2026-03-12T08:00:00Z"}` | move to; a running clock runs on from there |
//! | | `{"freeze":true}`, `{"freeze":false}` | stand still; run on |
//! | | `{"real":true}` | the machine's own time |
//! | `POST /_sim/faults` | `{"on":"crm", "times":1, "after":0, "status":503, "code":"…", "retry_after":5, "html":false, "delay_ms":0, "cut":false}` | the next `times` answers of `crm` (default), `list` or `token`, once `after` of them have passed, are this status (400 to 599), or are late, or lose their connection in mid-body; give at least one of `status`, `delay_ms`, `cut` |
//! | `DELETE /_sim/faults` | | drop those that wait |
//! | `POST /_sim/tokens` | `{"expire":"all"}` | every access token is dead |
//! | | `{"revoke":"refresh"}` | every refresh token is dead, with its access tokens |
//! | | `{"throttle_after":2}`, `null` | after two more refreshes: `Access Denied` for ten minutes |
//! | | `{"access_denied_status":200}` | the status of `Access Denied`, 400 at first |
//! | | `{"expires_in":60}` | life of access tokens from now on, in seconds |
//! | | `{"grant":"ZohoCRM.modules.ALL"}` | answers with tokens, without a sign-in |
//! | `POST /_sim/mutate` | `{"op":"edit", "position":3, "count":1, "set":{"Phone":"…"}, "at":"…", "between_pages":2}` | edit now, or once page 2 of a list was served; `id` in place of `position`; `at` is the new `Modified_Time`, now if left out |
//! | | `{"op":"add", "count":1, "set":{}, "at":"…", "between_pages":2}` | add made-up contacts |
//! | | `{"op":"delete", "position":3, "count":1, "permanent":false, "at":"…", "between_pages":2}` | delete; `position` counts contacts from 0, lowest id first |
//! | `POST /_sim/options` | `{"page_token_life":"24h"}` | life of page tokens made from now on |
//! | | `{"withhold_page_token":true}` | `more_records` is true and `next_page_token` null |
//! | | `{"bind_header":true}` | page tokens are bound to `If-Modified-Since` too |
//! | | `{"latency_ms":50}` | real time added to each list answer |
//! | | `{"credits":5000}`, `{"concurrency":5}` | 429 beyond them; 0 lifts the limit |
//!
//! # Records that are identical
//!
//! [`SimOptions::spread_days`] 0 gives all contacts one and the same second.

mod answer;
mod clock;
mod consent;
mod contacts;
mod crm;
mod deleted;
mod errors;
mod faults;
mod fields;
mod generate;
mod grants;
mod hex;
mod limits;
mod list;
mod mutate;
mod oauth;
mod observe;
mod options;
mod paging_token;
mod params;
mod pkce;
mod query;
mod record;
mod render;
mod request_log;
mod server;
mod sim_api;
mod stats;
mod version;
mod world;
mod write;

pub use clock::ClockStart;
pub use options::SimOptions;
pub use server::{Sim, SimError, start};
pub use stats::Stats;
