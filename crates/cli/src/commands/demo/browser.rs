//! What a browser does in a sign-in: opens the link, says yes, comes back with its cookie.

use anyhow::{Context, Result, bail};
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Response};
use url::Url;

/// Signs in at a one-time link, against the simulator's consent page.
pub(super) async fn sign_in(http: &Client, link: &str) -> Result<()> {
    let opened = http
        .get(link)
        .send()
        .await
        .context("opening the sign-in link")?;
    let cookie = header(&opened, SET_COOKIE.as_str())?
        .split(';')
        .next()
        .unwrap_or_default()
        .to_owned();
    let consent =
        Url::parse(&header(&opened, LOCATION.as_str())?).context("where the sign-in leads")?;
    let page = http
        .get(consent.clone())
        .send()
        .await
        .context("the consent page")?;
    if !page.status().is_success() {
        bail!("the consent page answered {}", page.status());
    }
    // The page's form sends back what it was asked with, and the button pressed.
    let mut form: Vec<(String, String)> = consent.query_pairs().into_owned().collect();
    form.push(("decision".to_owned(), "accept".to_owned()));
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&form)
        .finish();
    let mut action = consent;
    action.set_query(None);
    let agreed = http
        .post(action)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .context("saying yes")?;
    let back = header(&agreed, LOCATION.as_str())?;
    let done = http
        .get(back)
        .header(COOKIE, cookie)
        .send()
        .await
        .context("coming back")?;
    if !done.status().is_success() {
        bail!(
            "signing in ended with {}: {}",
            done.status(),
            done.text().await.unwrap_or_default()
        );
    }
    Ok(())
}

fn header(response: &Response, name: &str) -> Result<String> {
    let value = response
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok());
    value
        .map(str::to_owned)
        .with_context(|| format!("an answer {} without `{name}`", response.status()))
}
