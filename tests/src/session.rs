//! Tokens made by the command line, and browsers that sign in with one.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{Answer, Server};

/// What a form's body is.
pub const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// Makes a token: `token create --json` with these further arguments.
pub async fn make_token(server: &Server, arguments: &[&str]) -> Result<Value> {
    let mut all = vec!["token", "create", "--json"];
    all.extend(arguments);
    let (code, out, err) = server.folder().command(&all).await?;
    ensure!(code == 0, "{out}{err}");
    Ok(serde_json::from_str(&out)?)
}

/// The token of the data folder's file.
pub fn admin_token(server: &Server) -> Result<String> {
    let text = std::fs::read_to_string(server.folder().path().join("data/admin.token"))?;
    Ok(text.trim().to_owned())
}

/// Posts the form of the sign-in as a browser does.
pub async fn post_sign_in(server: &Server, form: &str) -> Result<Answer> {
    let own = server.url();
    let headers = [FORM, ("origin", &own), ("sec-fetch-site", "same-origin")];
    server.ask("POST", "/sign-in", &headers, form).await
}

/// The cookie that an answer sets, as a browser sends it back.
pub fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie");
    set.split(';').next().unwrap_or_default().to_owned()
}

/// A browser that has signed in.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its cookie.
    pub cookie: String,
    /// What the forms of its pages send.
    pub csrf: String,
}

impl Session {
    /// Signs in with a token.
    pub async fn begin(server: &Server, token: &str) -> Result<Self> {
        let answer = post_sign_in(server, &format!("token={token}&to=%2F")).await?;
        ensure!(answer.status == 303, "{} {}", answer.status, answer.text);
        let cookie = cookie(&answer);
        let page = server.ask("GET", "/", &[("cookie", &cookie)], "").await?;
        let csrf = page
            .text
            .split_once("name=\"csrf\" value=\"")
            .and_then(|(_, rest)| rest.split_once('"'))
            .map(|(csrf, _)| csrf.to_owned());
        let csrf = csrf.context("the first page has a form")?;
        Ok(Self { cookie, csrf })
    }
}
