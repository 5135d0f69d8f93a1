//! The console: what the engine does, as pages for people.
//!
//! Every page is written by the server and works without a script. A page that is live names what it shows as
//! `/live?…`; told that something of it changed, the browser fetches the same page again and takes over the part
//! that is marked `id="live"`. What a page changes is a form, answered by sending the browser back to the page.
//!
//! Pages read through [`velodrome_runtime::Engine`] as the API does; they decide nothing about runs. What is
//! shown came from outside, so all of it goes through maud's escaping: nothing here is `PreEscaped`.

mod actions;
mod assets;
mod connections;
mod cycle;
mod cycles;
mod form;
mod graph;
mod lap_chart;
mod laps;
mod layout;
mod list;
mod log;
mod log_page;
mod looped;
mod pace;
mod run;
mod shown;
mod storage;
mod time_line;

use crate::access::Guarded;

/// The console's pages, and what they are made of.
pub(crate) fn routes() -> Guarded {
    Guarded::new()
        .merge(cycles::routes())
        .merge(cycle::routes())
        .merge(list::routes())
        .merge(looped::routes())
        .merge(run::routes())
        .merge(connections::routes())
        .merge(storage::routes())
        .merge(log_page::routes())
        .merge(actions::routes())
}

pub(crate) use assets::routes as asset_routes;
pub(crate) use pace::Pace;
