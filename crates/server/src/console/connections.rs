//! Connections: which there are, what state their tokens are in, signing in and out.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use secrecy::SecretString;
use velodrome_runtime::api::{ConnectionView, Listing};
use velodrome_types::{ConnectionId, Role, Timestamp};

use super::actions::back_to;
use super::form::Fields;
use super::layout::{Page, Part, Wrong, csrf};
use super::shown::{ago, badge, segment};
use crate::access::{Caller, Guarded};
use crate::api::{Parameters, Segments, part};
use crate::app::App;
use crate::page::{escape, page_with_head};

pub(super) fn routes() -> Guarded {
    Guarded::new()
        .get(Role::Read, "/connections", list)
        .post(Role::Operate, "/connections/{id}/connect", connect)
        .post(Role::Admin, "/connections/{id}/client", set_client)
        .post(Role::Admin, "/connections/{id}/revoke", revoke)
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Wrong> {
    let parameters = Parameters::read(query.as_deref(), &["cursor"])?;
    let views = app.engine.connections().await;
    let listing = part(views, &parameters, |view| view.id.clone())?;
    let now = app.options.now.read();
    let body = html! {
        div.head { h1 { "Connections" } }
        @if listing.items.is_empty() {
            section.card { p.soft { "No cycle uses one, and none is declared in " code { "velodrome.yaml" } "." } }
        }
        @for view in &listing.items { (card(view, &caller, now)) }
        (pager(&listing))
    };
    Ok(Page::new("Connections", Part::Connections, body).show(&caller))
}

fn pager(listing: &Listing<ConnectionView>) -> Markup {
    html! {
        @if let Some(next) = &listing.next {
            div.pager { a.button href={ "/connections?cursor=" (segment(next)) } { "More connections" } }
        }
    }
}

fn card(view: &ConnectionView, caller: &Caller, now: Timestamp) -> Markup {
    let at = format!("/connections/{}", segment(&view.id));
    let ready = view.state == "ready";
    let signs_in = view.auth == "oauth2";
    html! {
        section.card aria-labelledby={ "connection-" (view.id) } {
            div.head {
                h2 id={ "connection-" (view.id) } { (view.id) }
                (badge(if ready { "badge good" } else { "badge bad" }, view.state))
                div.actions {
                    @if signs_in && view.asks.is_empty() && caller.role.allows(Role::Operate) {
                        form.inline method="post" action={ (at) "/connect" } {
                            (csrf(caller))
                            button class=(if ready { "" } else { "main" }) {
                                @if ready { "Sign in again" } @else { "Sign in" }
                            }
                        }
                    }
                    @if signs_in && ready && caller.role.allows(Role::Admin) {
                        form.inline method="post" action={ (at) "/revoke" }
                            data-confirm="Revoke this token? Cycles that use the connection wait until somebody signs in again." {
                            (csrf(caller)) button.bad { "Revoke" }
                        }
                    }
                }
            }
            @if let Some(reason) = &view.reason { div.note.warn { p { (reason) } } }
            dl.facts {
                div { dt { "Connector" } dd { (view.connector) } }
                div { dt { "Signs in by" } dd { (view.auth.replace('_', " ")) } }
                @if let Some(client) = &view.client_id { div { dt { "Client" } dd { code { (client) } } } }
                @if let Some(expires) = view.expires {
                    div { dt { "Token ends" } dd { (ago(expires, now)) } }
                }
                @if let Some(scopes) = &view.scopes { div { dt { "Scopes" } dd { code { (scopes) } } } }
            }
            @if !view.asks.is_empty() { (client_form(view, &at, caller)) }
        }
    }
}

/// For the client that the file leaves to be asked for.
fn client_form(view: &ConnectionView, at: &str, caller: &Caller) -> Markup {
    html! {
        @if caller.role.allows(Role::Admin) {
            form.fields method="post" action={ (at) "/client" } {
                (csrf(caller))
                label { "Client id" input name="client_id" required autocomplete="off" value=[&view.client_id]; }
                @if view.asks.contains(&"client_secret") {
                    label { "Client secret" input name="client_secret" type="password" autocomplete="off"; }
                }
                button.main { "Keep the client" }
            }
        } @else {
            p.soft { "Its client is not known yet: that needs the role " code { "admin" } "." }
        }
    }
}

/// Begins a sign-in. The browser goes on from a page of ours: the policy lets no form lead elsewhere.
async fn connect(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
) -> Result<Response, Wrong> {
    let begun = app.engine.connect(&ConnectionId::from(id.as_str())).await?;
    let Some(url) = begun.url else {
        return Ok(back_to("/connections"));
    };
    let url = escape(&url);
    Ok(page_with_head(
        &format!("<meta http-equiv=\"refresh\" content=\"0;url={url}\">"),
        "Signing in",
        &format!("<p><a href=\"{url}\">On to the provider</a></p>"),
    ))
}

async fn set_client(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
    body: Bytes,
) -> Result<Response, Wrong> {
    let fields = Fields::read(&body)?;
    let secret = Some(fields.text("client_secret")).filter(|secret| !secret.is_empty());
    let secret = secret.map(SecretString::from);
    let client = fields.text("client_id").to_owned();
    let id = ConnectionId::from(id.as_str());
    app.engine.set_client(&id, client, secret).await?;
    Ok(back_to("/connections"))
}

async fn revoke(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
) -> Result<Response, Wrong> {
    app.engine.revoke(&ConnectionId::from(id.as_str())).await?;
    Ok(back_to("/connections"))
}
