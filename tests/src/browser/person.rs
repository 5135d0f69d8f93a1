//! What a person does in more than one step: signing in, clicking what says something, going on with the Tab key.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::Browser;
use crate::server::Server;

/// How often Tab is pressed before a person gives up.
const TABS: usize = 80;

impl Browser {
    /// Signs in at the console with the token of the data folder, and is at the overview then.
    ///
    /// # Errors
    ///
    /// The server does not let it in.
    pub async fn sign_in(&self, server: &Server) -> Result<()> {
        self.goto(&format!("{}/sign-in", server.url())).await?;
        self.give_token(server).await?;
        self.text_of("h1", "Overview").await?;
        Ok(())
    }

    /// Gives the token to the sign-in that is shown.
    ///
    /// # Errors
    ///
    /// No sign-in is shown.
    pub async fn give_token(&self, server: &Server) -> Result<()> {
        self.find("#token").await?.fill(server.token()).await?;
        self.click("Sign in").await
    }

    /// Clicks the link, button or summary that says this, as soon as it is there.
    ///
    /// # Errors
    ///
    /// It does not come, or cannot be clicked.
    pub async fn click(&self, label: &str) -> Result<()> {
        // A page that is renewed under the pointer: the one that was found is another now.
        let clicked = async || match self.labelled(label).await?.click().await {
            Ok(()) => Ok(Some(())),
            Err(error) => Err(error),
        };
        self.until(&format!("a click on `{label}`"), clicked).await
    }

    /// The same, where the page asks whether it is meant: says yes.
    ///
    /// # Errors
    ///
    /// It does not ask.
    pub async fn click_and_confirm(&self, label: &str) -> Result<()> {
        self.click(label).await?;
        self.confirm().await
    }

    /// Says yes to what the page asks.
    ///
    /// # Errors
    ///
    /// It asks nothing.
    pub async fn confirm(&self) -> Result<()> {
        let accepted = async || {
            self.ask("POST", "/alert/accept", json!({})).await?;
            Ok(Some(()))
        };
        self.until("the page's question", accepted).await
    }

    /// Presses Tab until what has the focus has this in its opening tag; gives the tag.
    ///
    /// # Errors
    ///
    /// The focus never comes there, or is not seen where it comes.
    pub async fn tab_to(&self, wanted: &str) -> Result<String> {
        let mut passed = Vec::new();
        for _ in 0..TABS {
            self.press(&["Tab"]).await?;
            let tag = self.focused().await?;
            if tag.contains(wanted) {
                self.see_focus(&tag).await?;
                return Ok(tag);
            }
            passed.push(tag);
        }
        bail!(
            "Tab does not come to {wanted}; it came to\n{}",
            passed.join("\n")
        )
    }

    /// That what has the focus shows it.
    async fn see_focus(&self, tag: &str) -> Result<()> {
        let script = "const style = getComputedStyle(document.activeElement);\
                      return (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none'";
        let seen = self.script(script, json!([])).await?;
        (seen == Value::Bool(true))
            .then_some(())
            .with_context(|| format!("nobody sees that {tag} has the focus"))
    }
}
