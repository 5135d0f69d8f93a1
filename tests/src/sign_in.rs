//! Signing a connection in as a browser would.

use anyhow::{Context, Result, bail};

use crate::client::{Answer, Client};
use crate::server::Server;

/// A one-time link that was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What binds the sign-in to this browser, as a browser sends it back.
    pub cookie: String,
    /// Where the browser is sent.
    pub away: String,
}

/// Opens a one-time link.
///
/// # Errors
///
/// It does not lead on.
pub async fn open(client: &Client, link: &str) -> Result<Opened> {
    let opened = client.send("GET", link, &[], Vec::new()).await?;
    if opened.status != 303 {
        bail!("the link answered {} {}", opened.status, opened.text);
    }
    let cookie = opened.header("set-cookie").split(';').next();
    Ok(Opened {
        cookie: cookie.unwrap_or_default().to_owned(),
        away: opened.header("location").to_owned(),
    })
}

/// Presses a button of the simulator's consent page, `accept` or `deny`; gives where that leads.
///
/// # Errors
///
/// There is no such page.
pub async fn decide(client: &Client, away: &str, decision: &str) -> Result<String> {
    let page = client.send("GET", away, &[], Vec::new()).await?;
    let (action, mut fields) =
        form(&page.text).with_context(|| format!("no consent form: {}", page.text))?;
    for (name, value) in &mut fields {
        if name == "decision" {
            decision.clone_into(value);
        }
    }
    let target = reqwest::Url::parse(away)?.join(&action)?;
    let body: String = fields
        .iter()
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
        .collect::<Vec<_>>()
        .join("&");
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let agreed = client
        .send("POST", target.as_str(), &[kind], body.into_bytes())
        .await?;
    Ok(agreed.header("location").to_owned())
}

/// Comes back from there, with the cookie of a browser.
///
/// # Errors
///
/// The server does not answer.
pub async fn come_back(client: &Client, back: &str, cookie: &str) -> Result<Answer> {
    let cookie = ("cookie", cookie);
    client.send("GET", back, &[cookie], Vec::new()).await
}

/// Opens the one-time link, says yes on the consent page and comes back.
pub async fn sign_in(server: &Server, connection: &str) -> Result<()> {
    let client = server.client();
    let begun = server
        .api("POST", &format!("/connections/{connection}/connect"))
        .await?;
    let url = begun.json()["url"]
        .as_str()
        .with_context(|| format!("no link: {}", begun.text))?
        .to_owned();
    let opened = open(client, &url).await?;
    let back = decide(client, &opened.away, "accept").await?;
    let done = come_back(client, &back, &opened.cookie).await?;
    if done.status != 200 {
        bail!("signing in ended with {} {}", done.status, done.text);
    }
    Ok(())
}

/// The first form of a page: where it goes, and its fields with the first button pressed.
fn form(page: &str) -> Option<(String, Vec<(String, String)>)> {
    let form = page.split("<form").nth(1)?.split("</form>").next()?;
    let action = attribute(form.split('>').next()?, "action").unwrap_or_default();
    let mut fields = Vec::new();
    for input in form.split("<input").skip(1) {
        let tag = input.split('>').next()?;
        if let Some(name) = attribute(tag, "name") {
            fields.push((name, attribute(tag, "value").unwrap_or_default()));
        }
    }
    let button = form
        .split("<button")
        .nth(1)
        .and_then(|button| button.split('>').next());
    if let Some(name) = button.and_then(|tag| attribute(tag, "name")) {
        fields.push((
            name,
            button
                .and_then(|tag| attribute(tag, "value"))
                .unwrap_or_default(),
        ));
    }
    Some((action, fields))
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let after = tag.split(&format!("{name}=\"")).nth(1)?;
    let value = after.split('"').next()?;
    Some(
        value
            .replace("&amp;", "&")
            .replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">"),
    )
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
