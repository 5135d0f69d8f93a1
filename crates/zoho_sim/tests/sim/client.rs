//! A small hand client, and a simulator with a clock that stands still.

use jiff::Timestamp;
use serde_json::{Value, json};
use velodrome_zoho_sim::{ClockStart, Sim, SimOptions, start};

/// Where every test's clock stands at first.
pub(crate) const NOON: &str = "2026-03-12T12:00:00Z";

pub(crate) const CALLBACK: &str = "http://127.0.0.1:9/callback";

pub(crate) const FIELDS: &str = "id,Full_Name,Email,Modified_Time";

pub(crate) struct Zoho {
    pub(crate) sim: Sim,
    http: reqwest::Client,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("the answer should be JSON")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self
            .headers
            .get(name)
            .unwrap_or_else(|| panic!("there is no `{name}`"));
        value.to_str().expect("a header should be text")
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.column("id")
    }

    pub(crate) fn column(&self, name: &str) -> Vec<String> {
        let body = self.json();
        let rows = body["data"].as_array().expect("`data` should be an array");
        rows.iter()
            .map(|row| row[name].as_str().expect("a text").to_owned())
            .collect()
    }

    pub(crate) fn info(&self) -> Value {
        self.json()["info"].clone()
    }

    pub(crate) fn next_token(&self) -> String {
        let info = self.info();
        info["next_page_token"]
            .as_str()
            .expect("there should be a next page")
            .to_owned()
    }
}

pub(crate) fn options(records: u32) -> SimOptions {
    SimOptions {
        records,
        redirect_uris: vec![CALLBACK.to_owned()],
        clock: ClockStart::Frozen(at(NOON)),
        ..SimOptions::default()
    }
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().expect("a test's time should be one")
}

impl Zoho {
    pub(crate) async fn with(records: u32) -> Self {
        Self::start(options(records)).await
    }

    pub(crate) async fn start(options: SimOptions) -> Self {
        // An error means that another test was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sim = start(options).await.expect("the simulator should start");
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .expect("the client should build");
        let mut zoho = Self {
            sim,
            http,
            access_token: String::new(),
            refresh_token: String::new(),
        };
        zoho.grant("ZohoCRM.modules.ALL").await;
        zoho
    }

    pub(crate) async fn grant(&mut self, scope: &str) {
        let tokens = self.turn("tokens", json!({"grant": scope})).await;
        let text = |name: &str| tokens[name].as_str().expect("a token").to_owned();
        (self.access_token, self.refresh_token) = (text("access_token"), text("refresh_token"));
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        self.try_send(request)
            .await
            .expect("the simulator should answer")
    }

    pub(crate) async fn try_send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<Reply, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Reply {
            status,
            headers,
            text: response.text().await?,
        })
    }

    /// A request to a path of the simulator, without credentials.
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a test's method should be one");
        self.http
            .request(method, format!("{}{path}", self.sim.url()))
    }

    /// A request to the CRM, with the access token.
    pub(crate) fn crm(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let token = format!("Zoho-oauthtoken {}", self.access_token);
        self.request(method, &format!("/crm/{path}"))
            .header("Authorization", token)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.crm("GET", path)).await
    }

    pub(crate) async fn get_since(&self, path: &str, since: &str) -> Reply {
        self.send(self.crm("GET", path).header("If-Modified-Since", since))
            .await
    }

    /// A v8 list with the usual fields and more of the query.
    pub(crate) async fn list(&self, more: &str) -> Reply {
        self.get(&list_path(more)).await
    }

    pub(crate) async fn write(&self, method: &str, path: &str, body: Value) -> Reply {
        self.send(self.crm(method, path).body(body.to_string()))
            .await
    }

    /// Turns a switch, and gives its answer.
    pub(crate) async fn turn(&self, switch: &str, body: Value) -> Value {
        let reply = self.try_turn(switch, body).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()
    }

    pub(crate) async fn try_turn(&self, switch: &str, body: Value) -> Reply {
        let request = self.request("POST", &format!("/_sim/{switch}"));
        self.send(
            request
                .header("Content-Type", "application/json")
                .body(body.to_string()),
        )
        .await
    }

    pub(crate) async fn advance(&self, by: &str) {
        self.turn("clock", json!({"advance": by})).await;
    }

    /// Posts a form to the token endpoint, with the client's own credentials before it.
    pub(crate) async fn token(&self, pairs: &[(&str, &str)]) -> Reply {
        let options = SimOptions::default();
        let client = [
            ("client_id", options.client_id.as_str()),
            ("client_secret", options.client_secret.as_str()),
        ];
        self.token_form(&form(client.iter().chain(pairs))).await
    }

    pub(crate) async fn token_form(&self, body: &str) -> Reply {
        let request = self.request("POST", "/oauth/v2/token");
        let kind = "application/x-www-form-urlencoded";
        self.send(request.header("Content-Type", kind).body(body.to_owned()))
            .await
    }

    pub(crate) async fn refresh(&self) -> Reply {
        let pairs = [
            ("grant_type", "refresh_token"),
            ("refresh_token", &self.refresh_token),
        ];
        self.token(&pairs).await
    }
}

pub(crate) fn list_path(more: &str) -> String {
    format!("v8/Contacts?fields={FIELDS}{more}")
}

pub(crate) fn form<'a>(pairs: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(pairs);
    form.finish()
}
