//! `log`, `now`, `uuid` and `http_request`, and what is thrown to have tokens refreshed.

use rhai::{Dynamic, Engine, EvalAltResult, NativeCallContext};
use sha2::{Digest, Sha256};

use crate::call_state::with_state;
use crate::convert::{to_dynamic, to_json};
use crate::errors::{AUTH_REFRESH_NAME, AUTH_SESSION_NAME, FAILED, Raised, auth_exception};
use crate::meter;
use crate::outside::HTTP_REQUEST;
use crate::storage::StorageFault;

type Outcome<T> = Result<T, Box<EvalAltResult>>;

/// Registers them all.
pub(crate) fn register(engine: &mut Engine) {
    register_exceptions(engine);
    engine.register_fn("log", |value: Dynamic| meter::log(&shown(&value)));
    // The mathematics package has a logarithm of exactly this type, which would win.
    engine.register_fn("log", |value: f64| meter::log(&shown(&value.into())));
    engine.register_fn("now", |context: NativeCallContext| -> Outcome<String> {
        with_state(&context, |state| Ok(state.now.to_string()))
    });
    engine.register_fn(
        HTTP_REQUEST,
        |context: NativeCallContext, asked: Dynamic| http_request(&context, &asked),
    );
    engine.register_fn("uuid", |context: NativeCallContext| -> Outcome<String> {
        with_state(&context, |state| {
            let mut changing = state.changing();
            let number = changing.uuids;
            changing.uuids += 1;
            Ok(derived_uuid(&state.seed, number))
        })
    });
}

/// Sends a request and waits. The clock is looked at when the answer is there.
fn http_request(context: &NativeCallContext<'_>, asked: &Dynamic) -> Outcome<Dynamic> {
    let fault = |fault: StorageFault| Raised::error(fault.code, fault.message);
    let asked = to_json(asked)
        .map_err(|error| Raised::error(FAILED, format!("`{HTTP_REQUEST}`: {error}")))?;
    let outcome = with_state(context, |state| {
        state.changing().requests.perform(&[asked]).map_err(fault)
    });
    // Whatever came of it took its time.
    meter::look_at_clock();
    let (value, line) = outcome?;
    meter::log(&line);
    Ok(to_dynamic(&value))
}

/// `throw AuthRefreshException()`, as JavaScript writes `throw new AuthRefreshException()`.
fn register_exceptions(engine: &mut Engine) {
    for name in [AUTH_REFRESH_NAME, AUTH_SESSION_NAME] {
        let Some((code, message)) = auth_exception(name) else {
            continue;
        };
        let raised = move || {
            Raised(StorageFault {
                code,
                message: message.to_owned(),
            })
        };
        engine.register_fn(name, raised);
        // What a script says of it is for whoever reads the script.
        engine.register_fn(name, move |_: &str| raised());
    }
}

/// Text as it stands, anything else as JSON.
fn shown(value: &Dynamic) -> String {
    if let Ok(text) = value.as_immutable_string_ref() {
        return text.as_str().to_owned();
    }
    match to_json(value) {
        Ok(json) => json.to_string(),
        Err(error) => format!("({error})"),
    }
}

/// The id of this number. Hashed, so that one id tells nothing of the seed or of the others.
pub(crate) fn derived_uuid(seed: &[u8; 16], number: u64) -> String {
    let hash = Sha256::new()
        .chain_update(seed)
        .chain_update(number.to_be_bytes())
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .hyphenated()
        .to_string()
}
