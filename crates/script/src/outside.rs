//! `http_request`: what a script may ask of the world, as the runtime lets it.
//!
//! The script's host opens no socket. It reads what the script asks for, hands it to an [`Outside`], and makes
//! the answer a value. A status of 400 or more is an answer; no answer at all is an error that the script may catch.

use std::time::Duration;

use serde_json::json;
use velodrome_types::{Json, JsonMap};

use crate::errors::FAILED;
use crate::general_fns::derived_uuid;
use crate::limits::ScriptLimits;
use crate::storage::StorageFault;

/// Its name in both languages.
pub(crate) const HTTP_REQUEST: &str = "http_request";

/// Requests of one call. Each waits for an answer while the call's time runs, so that more would hardly end
/// well; a list of requests is the work of a step with `for_each`.
const REQUESTS: u64 = 20;

/// The request that a script asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpAsked {
    /// `GET` where it does not say.
    pub method: String,
    /// Where to.
    pub url: String,
    /// The query.
    pub parameters: JsonMap,
    /// The headers.
    pub headers: JsonMap,
    /// The body.
    pub data: Option<Json>,
    /// How long it may take, its waiting for a turn included.
    pub within: Duration,
    /// The most bytes of an answer that are taken.
    pub most: usize,
    /// The same again where the handler runs again, so that the other side can tell that it has seen it.
    pub key: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpAnswered {
    /// The status.
    pub status_code: u16,
    /// The headers, names in lower case.
    pub headers: JsonMap,
    /// The body: JSON where it is that, else text.
    pub content: Json,
}

/// The world as a script may reach it.
///
/// Called on the thread that called [`ScriptHost::call`](crate::ScriptHost::call), one call at a time. It may
/// block until an answer is there; the script's clock goes on meanwhile.
pub trait Outside: Send + Sync {
    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    ///
    /// Why there is no answer, with a stable code; a script may catch it.
    fn http_request(&mut self, asked: &HttpAsked) -> Result<HttpAnswered, StorageFault>;
}

/// No world at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoOutside;

impl Outside for NoOutside {
    fn http_request(&mut self, _: &HttpAsked) -> Result<HttpAnswered, StorageFault> {
        Err(StorageFault {
            code: "script.no_http",
            message: "`http_request` reaches nothing here: it works in the scripts of a step, outside tests"
                .to_owned(),
        })
    }
}

/// The requests of one call.
pub(crate) struct Requests {
    outside: Box<dyn Outside>,
    /// The call's seed and its handler: two handlers of one step send requests of their own.
    seed: [u8; 16],
    within: Duration,
    most: usize,
    sent: u64,
}

/// Of the memory that a call may hold, the part that one answer may come with: as values it takes several times
/// its bytes.
const PART_OF_MEMORY: usize = 8;

impl Requests {
    pub(crate) fn new(
        outside: Box<dyn Outside>,
        seed: [u8; 16],
        handler: &str,
        limits: &ScriptLimits,
    ) -> Self {
        let mut of_handler = seed;
        for (at, byte) in handler.bytes().enumerate() {
            of_handler[at % 16] = of_handler[at % 16].rotate_left(5) ^ byte ^ 0x68;
        }
        Self {
            outside,
            seed: of_handler,
            within: limits.time,
            most: limits.memory / PART_OF_MEMORY,
            sent: 0,
        }
    }

    /// Performs the function. Gives what the script gets, and the line for its log.
    pub(crate) fn perform(&mut self, args: &[Json]) -> Result<(Json, String), StorageFault> {
        if self.sent == REQUESTS {
            return Err(refused(format!(
                "a handler may send {REQUESTS} requests: use a step with `for_each` for more"
            )));
        }
        let mut asked = read(args)?;
        asked.key = derived_uuid(&self.seed, self.sent);
        (asked.within, asked.most) = (self.within, self.most);
        self.sent += 1;
        let answered = self.outside.http_request(&asked)?;
        let line = format!(
            "http_request: {} {} → {}",
            asked.method,
            without_query(&asked.url),
            answered.status_code
        );
        let value = json!({
            "status_code": answered.status_code,
            "headers": answered.headers,
            "content": answered.content,
            "request": {
                "method": asked.method,
                "url": asked.url,
                "parameters": asked.parameters,
                "headers": asked.headers,
                "data": asked.data,
            },
        });
        Ok((value, line))
    }
}

/// A query may hold what is nobody's business.
fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

fn read(args: &[Json]) -> Result<HttpAsked, StorageFault> {
    let [Json::Object(given)] = args else {
        return Err(refused(
            "`http_request` takes one object: `{method, url, parameters, headers, data}`"
                .to_owned(),
        ));
    };
    let known = ["method", "url", "parameters", "headers", "data"];
    if let Some(unknown) = given.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(refused(format!(
            "`http_request` knows no `{}`: it takes `method`, `url`, `parameters`, `headers` and `data`",
            unknown.chars().take(60).collect::<String>()
        )));
    }
    let method = match given.get("method") {
        None | Some(Json::Null) => "GET".to_owned(),
        Some(Json::String(method)) => method.to_ascii_uppercase(),
        Some(_) => {
            return Err(refused(
                "`method` of `http_request` must be text".to_owned(),
            ));
        }
    };
    let Some(Json::String(url)) = given.get("url") else {
        return Err(refused(
            "`http_request` needs a `url`, which must be text".to_owned(),
        ));
    };
    let object = |name: &str| match given.get(name) {
        None | Some(Json::Null) => Ok(JsonMap::new()),
        Some(Json::Object(fields)) => Ok(fields.clone()),
        Some(_) => Err(refused(format!(
            "`{name}` of `http_request` must be an object"
        ))),
    };
    Ok(HttpAsked {
        method,
        url: url.clone(),
        parameters: object("parameters")?,
        headers: object("headers")?,
        data: given.get("data").filter(|data| !data.is_null()).cloned(),
        within: Duration::ZERO,
        most: 0,
        key: String::new(),
    })
}

fn refused(message: String) -> StorageFault {
    StorageFault {
        code: FAILED,
        message,
    }
}
