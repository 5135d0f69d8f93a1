//! An element of a page, and keys.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::{Browser, ELEMENT};

/// An element of the page that the browser shows; it is stale once the page is another.
#[derive(Clone, Debug)]
pub struct Element<'a> {
    browser: &'a Browser,
    id: String,
}

impl<'a> Element<'a> {
    pub(super) fn new(browser: &'a Browser, found: &Value) -> Option<Self> {
        let id = found[ELEMENT].as_str()?.to_owned();
        Some(Self { browser, id })
    }

    async fn ask(&self, verb: &str, path: &str, body: Value) -> Result<Value> {
        let path = format!("/element/{}{path}", self.id);
        self.browser.ask(verb, &path, body).await
    }

    /// Clicks it, as a person can: one that is covered or not shown is an error.
    ///
    /// # Errors
    ///
    /// It is stale, covered or not shown.
    pub async fn click(&self) -> Result<()> {
        self.ask("POST", "/click", json!({})).await?;
        Ok(())
    }

    /// Types into it, in place of what was there.
    ///
    /// # Errors
    ///
    /// It is stale or takes no text.
    pub async fn fill(&self, text: &str) -> Result<()> {
        self.ask("POST", "/clear", json!({})).await?;
        self.ask("POST", "/value", json!({"text": text})).await?;
        Ok(())
    }

    /// Its text as it is shown.
    ///
    /// # Errors
    ///
    /// It is stale.
    pub async fn text(&self) -> Result<String> {
        let text = self.ask("GET", "/text", Value::Null).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// An attribute, if it has it.
    ///
    /// # Errors
    ///
    /// It is stale.
    pub async fn attribute(&self, name: &str) -> Result<Option<String>> {
        let path = format!("/attribute/{name}");
        let value = self.ask("GET", &path, Value::Null).await?;
        Ok(value.as_str().map(str::to_owned))
    }
}

/// A key as WebDriver writes it (§17.4.2).
pub(super) fn key(name: &str) -> Result<String> {
    let key = match name {
        "Tab" => '\u{E004}',
        "Enter" => '\u{E007}',
        "Shift" => '\u{E008}',
        "Escape" => '\u{E00C}',
        "Space" => ' ',
        "Down" => '\u{E015}',
        "Up" => '\u{E013}',
        other => {
            let mut characters = other.chars();
            match (characters.next(), characters.next()) {
                (Some(one), None) => one,
                _ => bail!("no key is called `{other}`"),
            }
        }
    };
    Ok(key.to_string())
}
