//! A headless Chromium that a test drives as a person would: it opens pages, waits for what should come, clicks,
//! types and presses keys; and it keeps what the browser complained of.
//!
//! ```text
//!  test ──▶ Browser ── WebDriver, JSON over HTTP ──▶ chromedriver ──▶ chromium
//!                   └─ `goog/cdp/execute` for what WebDriver has no word for
//! ```
//!
//! WebDriver is a dozen requests of JSON and the client of these tests sends them; a crate for it would bring
//! two dozen others. Nothing outside this machine is reached: the browser knows no name but `localhost`.
//!
//! A test that waits looks again until its deadline; none sleeps for a fixed time. Where Chromium or its driver is
//! missing, the test fails and names the packages.

mod accessibility;
mod driver;
mod element;
mod person;
mod view;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::client::Client;
use driver::Driver;

pub use element::Element;
pub use view::{Scheme, View};

/// How long a page may take. Generous: machines are shared.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked for what should come.
const LOOK: Duration = Duration::from_millis(20);
/// What an element is called in answers (WebDriver §12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser window of its own profile; it ends when this is dropped.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    /// The URL of the session at the driver.
    session: String,
    _driver: Driver,
}

impl Browser {
    /// Starts one, a desktop's window in light colours.
    ///
    /// # Errors
    ///
    /// Chromium or its driver is not there; the packages are named.
    pub async fn start() -> Result<Self> {
        Self::start_with("chromedriver").await
    }

    /// The same with another driver.
    ///
    /// # Errors
    ///
    /// As [`Browser::start`].
    pub async fn start_with(driver: &str) -> Result<Self> {
        let driver = Driver::start(driver).await?;
        let client = Client::default();
        let wanted = json!({"capabilities": {"alwaysMatch": driver.capabilities()}});
        let answer = client
            .post(&format!("{}/session", driver.url()), &wanted.to_string())
            .await?
            .json();
        let Some(id) = answer["value"]["sessionId"].as_str() else {
            bail!(
                "{}; chromedriver said: {}",
                driver::NEEDED,
                answer["value"]["message"]
            );
        };
        let browser = Self {
            client,
            session: format!("{}/session/{id}", driver.url()),
            _driver: driver,
        };
        browser.look(View::DESKTOP).await?;
        Ok(browser)
    }

    /// Opens a page and waits until it is loaded.
    ///
    /// # Errors
    ///
    /// It cannot be reached.
    pub async fn goto(&self, url: &str) -> Result<()> {
        self.ask("POST", "/url", json!({"url": url})).await?;
        Ok(())
    }

    /// Where it is.
    ///
    /// # Errors
    ///
    /// The driver does not answer.
    pub async fn url(&self) -> Result<String> {
        let url = self.ask("GET", "/url", Value::Null).await?;
        Ok(url.as_str().unwrap_or_default().to_owned())
    }

    /// The page's title.
    ///
    /// # Errors
    ///
    /// The driver does not answer.
    pub async fn title(&self) -> Result<String> {
        let title = self.ask("GET", "/title", Value::Null).await?;
        Ok(title.as_str().unwrap_or_default().to_owned())
    }

    /// The first element that the CSS selector finds, as soon as there is one.
    ///
    /// # Errors
    ///
    /// None comes; the error shows the page's text.
    pub async fn find(&self, css: &str) -> Result<Element<'_>> {
        let found = self.until(css, || self.first("css selector", css));
        found.await
    }

    /// The first link, button or summary that says this, as soon as there is one.
    ///
    /// # Errors
    ///
    /// None comes.
    pub async fn labelled(&self, label: &str) -> Result<Element<'_>> {
        let xpath = format!(
            "//*[self::a or self::button or self::summary][normalize-space(.)={0} or @aria-label={0}]",
            quoted(label)?
        );
        self.until(label, || self.first("xpath", &xpath)).await
    }

    /// All elements that the CSS selector finds now.
    ///
    /// # Errors
    ///
    /// The driver does not answer.
    pub async fn all(&self, css: &str) -> Result<Vec<Element<'_>>> {
        let wanted = json!({"using": "css selector", "value": css});
        let found = self.ask("POST", "/elements", wanted).await?;
        let ids = found.as_array().into_iter().flatten();
        Ok(ids.filter_map(|one| Element::new(self, one)).collect())
    }

    /// Waits until an element of the selector has this in its text; gives the whole text.
    ///
    /// # Errors
    ///
    /// It does not come.
    pub async fn text_of(&self, css: &str, wanted: &str) -> Result<String> {
        let script = "return [...document.querySelectorAll(arguments[0])].map(one => one.innerText)\
                      .find(text => text.includes(arguments[1])) ?? null";
        let what = format!("`{wanted}` in {css}");
        let found = self
            .until(&what, || async {
                let text = self.script(script, json!([css, wanted])).await?;
                Ok(text.as_str().map(str::to_owned))
            })
            .await?;
        Ok(found)
    }

    /// Waits until the browser is at a URL that ends so.
    ///
    /// # Errors
    ///
    /// It does not come there.
    pub async fn at(&self, ending: &str) -> Result<()> {
        let there = || async {
            let url = self.url().await?;
            Ok(url.ends_with(ending).then_some(()))
        };
        self.until(&format!("a URL that ends with {ending}"), there)
            .await
    }

    /// Waits until a script of the test says something truthy; gives that.
    ///
    /// # Errors
    ///
    /// It stays falsy.
    pub async fn wait_for(&self, script: &str) -> Result<Value> {
        let truthy = |value: &Value| !matches!(value, Value::Null | Value::Bool(false));
        let said = || async {
            let said = self.script(script, json!([])).await?;
            Ok(Some(said).filter(truthy))
        };
        self.until(script, said).await
    }

    /// Runs a script of the test in the page, whatever the page's policy says of scripts; gives what it returns.
    ///
    /// # Errors
    ///
    /// It throws.
    pub async fn script(&self, script: &str, arguments: Value) -> Result<Value> {
        let wanted = json!({"script": script, "args": arguments});
        self.ask("POST", "/execute/sync", wanted).await
    }

    /// Presses keys one after the other, wherever the focus is: `Tab`, `Enter`, `Space`, `Escape`, `Shift+Tab`, or a character.
    ///
    /// # Errors
    ///
    /// There is no such key.
    pub async fn press(&self, keys: &[&str]) -> Result<()> {
        let mut actions = Vec::new();
        for key in keys {
            let held: Vec<String> = key.split('+').map(element::key).collect::<Result<_>>()?;
            let press =
                |kind: &'static str| move |key: &String| json!({"type": kind, "value": key});
            actions.extend(held.iter().map(press("keyDown")));
            actions.extend(held.iter().rev().map(press("keyUp")));
        }
        let wanted = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.ask("POST", "/actions", wanted).await?;
        Ok(())
    }

    /// What has the focus: its markup up to the first `>`.
    ///
    /// # Errors
    ///
    /// The driver does not answer.
    pub async fn focused(&self) -> Result<String> {
        let script = "return document.activeElement.outerHTML.split('>')[0] + '>'";
        let tag = self.script(script, json!([])).await?;
        Ok(tag.as_str().unwrap_or_default().to_owned())
    }

    /// Shows pages in this size and these colours from now on.
    ///
    /// # Errors
    ///
    /// The browser refuses.
    pub async fn look(&self, view: View) -> Result<()> {
        for (command, settings) in view.commands() {
            self.devtools(command, settings).await?;
        }
        Ok(())
    }

    /// Lets pages run no script from now on.
    ///
    /// # Errors
    ///
    /// The browser refuses.
    pub async fn without_scripts(&self) -> Result<()> {
        let no = json!({"value": true});
        self.devtools("Emulation.setScriptExecutionDisabled", no)
            .await?;
        Ok(())
    }

    /// How many pixels the page is wider than the window: 0 where nothing scrolls sideways.
    ///
    /// # Errors
    ///
    /// The driver does not answer.
    pub async fn overhang(&self) -> Result<u64> {
        let script = "const page = document.documentElement; return Math.max(0, page.scrollWidth - page.clientWidth)";
        let wider = self.script(script, json!([])).await?;
        wider.as_u64().context("a width")
    }

    /// Writes what the window shows as a PNG.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub async fn screenshot(&self, file: &Path) -> Result<()> {
        // No bar is shown: the page would keep its place free.
        let fill = "document.documentElement.style.scrollbarGutter = 'auto'";
        self.script(fill, json!([])).await?;
        let taken = self
            .devtools("Page.captureScreenshot", json!({"format": "png"}))
            .await?;
        let png = STANDARD.decode(taken["data"].as_str().context("a picture")?)?;
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(file, png).with_context(|| format!("writing {}", file.display()))
    }

    /// What the browser complained of since it was asked last: errors and warnings of scripts, what the page's
    /// policy kept out, files that did not come.
    ///
    /// # Errors
    ///
    /// The driver does not answer.
    pub async fn complaints(&self) -> Result<Vec<String>> {
        let entries = self
            .ask("POST", "/se/log", json!({"type": "browser"}))
            .await?;
        let entries = entries.as_array().into_iter().flatten();
        let bad = entries.filter(|one| matches!(one["level"].as_str(), Some("SEVERE" | "WARNING")));
        Ok(bad
            .map(|one| format!("{}: {}", one["source"], one["message"]))
            .collect())
    }

    /// A command of the browser's own protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        let wanted = json!({"cmd": command, "params": parameters});
        self.ask("POST", "/goog/cdp/execute", wanted).await
    }

    /// Sends a command of WebDriver.
    async fn ask(&self, verb: &str, path: &str, body: Value) -> Result<Value> {
        let url = format!("{}{path}", self.session);
        let body = if verb == "POST" {
            body.to_string()
        } else {
            String::new()
        };
        let json = [("content-type", "application/json")];
        let sent = self.client.send(verb, &url, &json, body.into_bytes());
        let answer = timeout(PATIENCE, sent)
            .await
            .with_context(|| format!("{verb} {path}: the browser does not answer"))??;
        let mut json = answer.json();
        ensure!(
            answer.status == 200,
            "{verb} {path}: {} ({})",
            json["value"]["message"],
            json["value"]["error"]
        );
        Ok(json["value"].take())
    }

    async fn first(&self, using: &str, value: &str) -> Result<Option<Element<'_>>> {
        let wanted = json!({"using": using, "value": value});
        let found = self.ask("POST", "/elements", wanted).await?;
        Ok(Element::new(self, &found[0]))
    }

    /// Looks until there is something. A page that is being left answers with errors, so the last one counts.
    async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
        let until = Instant::now() + PATIENCE;
        loop {
            let seen = look().await;
            if let Ok(Some(found)) = seen {
                return Ok(found);
            }
            if Instant::now() > until {
                let page = self
                    .script("return document.body.innerText", json!([]))
                    .await
                    .unwrap_or_default();
                let url = self.url().await.unwrap_or_default();
                let page = page.as_str().unwrap_or_default();
                let error = seen
                    .err()
                    .map(|error| format!(" ({error})"))
                    .unwrap_or_default();
                bail!("{what} did not come{error}; {url} shows:\n{page}");
            }
            sleep(LOOK).await;
        }
    }
}

/// A text as XPath writes it.
fn quoted(text: &str) -> Result<String> {
    ensure!(
        !text.contains('"'),
        "a label without double quotes, not {text}"
    );
    Ok(format!("\"{text}\""))
}
