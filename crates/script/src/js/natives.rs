//! The functions that a script finds beside JavaScript's own.
//!
//! What needs nothing outside the call is answered here; everything else is the engine's, which is asked
//! by name.

use std::rc::Rc;

use rquickjs::function::Rest;
use rquickjs::{Ctx, Exception, Function, IntoJs as _, Value};
use serde_json::value::RawValue;

use crate::errors::FAILED;
use crate::functions::FUNCTIONS;
use crate::general_fns::derived_uuid;
use crate::js::frame::{Answer, Kind};
use crate::js::state::CallState;
use crate::outside::HTTP_REQUEST;
use crate::storage::Family;
use crate::storage_fns::OPERATIONS;

/// Functions that are answered here.
const OWN: [&str; 3] = ["log", "now", "uuid"];
/// Remembers where a script throws something that is no `Error`: only those know their place.
pub(crate) const THROWS: &str = "__velodrome_throws";

/// Every function's name.
pub(crate) fn names() -> impl Iterator<Item = String> {
    let storage = Family::ALL.into_iter().flat_map(|family| {
        OPERATIONS
            .into_iter()
            .map(move |(operation, _)| format!("{family}_storage_{operation}"))
    });
    let pure = FUNCTIONS.into_iter().map(|(name, ..)| name);
    let others = OWN.into_iter().chain(pure).chain([HTTP_REQUEST]);
    others.map(str::to_owned).chain(storage)
}

/// Gives a script's context all of them.
pub(crate) fn install<'js>(ctx: &Ctx<'js>, state: &Rc<CallState>) -> rquickjs::Result<()> {
    let globals = ctx.globals();
    for name in names() {
        let state = Rc::clone(state);
        let called = name.clone();
        let function = Function::new(ctx.clone(), move |ctx: Ctx<'js>, args: Rest<Value<'js>>| {
            state.function(&ctx, &called, args.0)
        })?;
        globals.set(name.as_str(), function.with_name(&name)?)?;
    }
    let state = Rc::clone(state);
    let throws = Function::new(ctx.clone(), move |line: u32, column: u32| {
        state.threw_at.set(Some((line, column)));
    })?;
    globals.set(THROWS, throws)
}

/// `Math.random`.
pub(crate) fn random<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<CallState>,
) -> rquickjs::Result<Function<'js>> {
    let state = Rc::clone(state);
    Function::new(ctx.clone(), move || state.random())?.with_name("random")
}

/// `console.log` and its like: everything in one line.
pub(crate) fn console<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<CallState>,
) -> rquickjs::Result<Function<'js>> {
    let state = Rc::clone(state);
    let say = move |ctx: Ctx<'js>, args: Rest<Value<'js>>| {
        let shown: rquickjs::Result<Vec<String>> =
            args.0.iter().map(|value| shown(&ctx, value)).collect();
        state.log(shown?.join(" "));
        Ok::<_, rquickjs::Error>(())
    };
    Function::new(ctx.clone(), say)?.with_name("log")
}

impl CallState {
    fn function<'js>(
        &self,
        ctx: &Ctx<'js>,
        name: &str,
        args: Vec<Value<'js>>,
    ) -> rquickjs::Result<Value<'js>> {
        let undefined = || Value::new_undefined(ctx.clone());
        let first = || args.first().cloned().unwrap_or_else(undefined);
        match name {
            "log" => {
                self.log(shown(ctx, &first())?);
                Ok(undefined())
            }
            "now" => self.now.as_str().into_js(ctx),
            "uuid" => {
                let number = self.uuids.get();
                self.uuids.set(number + 1);
                derived_uuid(&self.seed, number).into_js(ctx)
            }
            _ => self.ask(ctx, name, args),
        }
    }

    /// Asks the engine.
    fn ask<'js>(
        &self,
        ctx: &Ctx<'js>,
        name: &str,
        args: Vec<Value<'js>>,
    ) -> rquickjs::Result<Value<'js>> {
        if args.iter().any(|arg| arg.is_function() || arg.is_symbol()) {
            let message = format!("`{name}` takes no functions");
            return Err(self.raise(ctx, FAILED, message));
        }
        let json = ctx.json_stringify(args)?;
        let json = json.map_or_else(|| Ok("[]".to_owned()), |json| json.to_string())?;
        let Ok(args) = RawValue::from_string(json) else {
            let message = format!("`{name}` takes values of JSON");
            return Err(self.raise(ctx, FAILED, message));
        };
        match self.line.ask(name, args) {
            Some(Answer::Value(value)) => ctx.json_parse(value.get()),
            Some(Answer::Fault { code, message }) => Err(self.raise(ctx, &code, message)),
            None => {
                self.watch.stop(Kind::Failed);
                Err(Exception::throw_message(ctx, "the engine is gone"))
            }
        }
    }

    /// Throws what a script may catch and read `code` and `message` of.
    fn raise(&self, ctx: &Ctx<'_>, code: &str, message: String) -> rquickjs::Error {
        let thrown = Exception::from_message(ctx.clone(), &message).and_then(|exception| {
            exception.as_object().set("code", code)?;
            Ok(exception)
        });
        match thrown {
            Ok(exception) => {
                self.raised.borrow_mut().push((code.to_owned(), message));
                exception.throw()
            }
            Err(error) => error,
        }
    }
}

/// Text as it stands, anything else as JavaScript makes text of it.
fn text(ctx: &Ctx<'_>, value: &Value<'_>) -> rquickjs::Result<String> {
    let _ = ctx;
    value.get::<rquickjs::Coerced<String>>().map(|text| text.0)
}

/// Text as it stands, an error with its message, anything else as JSON.
pub(crate) fn shown<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> rquickjs::Result<String> {
    if let Some(text) = value.as_string() {
        return text.to_string();
    }
    if !value.is_error()
        && let Some(json) = ctx.json_stringify(value.clone())?
    {
        return json.to_string();
    }
    text(ctx, value)
}
