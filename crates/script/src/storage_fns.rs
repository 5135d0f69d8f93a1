//! `cyclr_storage_*`, `cycle_storage_*` and `loop_storage_*`.

use rhai::{Array, Dynamic, Engine, EvalAltResult, NativeCallContext};
use velodrome_types::Json;

use crate::call_state::{CallState, with_state};
use crate::convert::{to_dynamic, to_json};
use crate::errors::{FAILED, Raised};
use crate::storage::{Family, StorageFault, StorageView};

type Outcome<T> = Result<T, Box<EvalAltResult>>;

/// The part of a storage function's name behind `_storage_`, and what it does to the key it is given.
pub(crate) const OPERATIONS: [(&str, Access); 9] = [
    ("get", Access::Read),
    ("set", Access::Write),
    ("append", Access::Write),
    ("delete", Access::Write),
    ("delete_all", Access::Keyless),
    ("list_keys", Access::Keyless),
    ("list_values", Access::Keyless),
    ("increment", Access::ReadWrite),
    ("decrement", Access::ReadWrite),
];

/// What a storage function does to the key in its first argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    ReadWrite,
    Keyless,
}

impl Access {
    pub(crate) const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::ReadWrite)
    }

    pub(crate) const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::ReadWrite)
    }
}

/// The family and the access of a storage function's name.
pub(crate) fn of_name(name: &str) -> Option<(Family, Access)> {
    let (family, operation) = name.split_once("_storage_")?;
    let family = Family::ALL
        .into_iter()
        .find(|known| known.as_str() == family)?;
    let (_, access) = OPERATIONS
        .into_iter()
        .find(|(known, _)| *known == operation)?;
    Some((family, access))
}

/// Registers them all, and what a script reads of a fault that it catches.
pub(crate) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Raised>("error")
        .register_get("code", |raised: &mut Raised| raised.0.code)
        .register_get("message", |raised: &mut Raised| raised.0.message.clone())
        .register_fn("to_string", |raised: &mut Raised| raised.to_string());
    for family in Family::ALL {
        register_values(engine, family);
        register_numbers(engine, family);
    }
}

fn register_values(engine: &mut Engine, family: Family) {
    let name = |operation: &str| format!("{family}_storage_{operation}");
    engine.register_fn(
        name("get"),
        move |context: NativeCallContext, key: Dynamic| -> Outcome<Dynamic> {
            let key = key_text(&key)?;
            with_state(&context, |state| {
                let found = storage(state, |storage| storage.get(family, &key))?;
                if found.is_none() {
                    state.miss(family, &key);
                }
                Ok(found.as_ref().map_or(Dynamic::UNIT, to_dynamic))
            })
        },
    );
    engine.register_fn(
        name("set"),
        move |context: NativeCallContext, key: Dynamic, value: Dynamic| -> Outcome<()> {
            let (key, value) = (key_text(&key)?, value_json(&value)?);
            with_state(&context, |state| {
                storage(state, |storage| storage.set(family, &key, value))
            })
        },
    );
    engine.register_fn(
        name("append"),
        move |context: NativeCallContext, key: Dynamic, value: Dynamic| -> Outcome<()> {
            let (key, value) = (key_text(&key)?, value_json(&value)?);
            with_state(&context, |state| {
                storage(state, |storage| storage.append(family, &key, value))
            })
        },
    );
    engine.register_fn(
        name("delete"),
        move |context: NativeCallContext, key: Dynamic| -> Outcome<()> {
            let key = key_text(&key)?;
            with_state(&context, |state| {
                storage(state, |storage| storage.delete(family, &key))
            })
        },
    );
    engine.register_fn(
        name("delete_all"),
        move |context: NativeCallContext| -> Outcome<()> {
            with_state(&context, |state| {
                storage(state, |storage| storage.delete_all(family))
            })
        },
    );
    engine.register_fn(
        name("list_keys"),
        move |context: NativeCallContext| -> Outcome<Array> {
            with_state(&context, |state| {
                let keys = storage(state, |storage| storage.list_keys(family))?;
                Ok(keys.into_iter().map(Dynamic::from).collect())
            })
        },
    );
    engine.register_fn(
        name("list_values"),
        move |context: NativeCallContext| -> Outcome<Array> {
            with_state(&context, |state| {
                let values = storage(state, |storage| storage.list_values(family))?;
                Ok(values.iter().map(to_dynamic).collect())
            })
        },
    );
}

fn register_numbers(engine: &mut Engine, family: Family) {
    type Step = fn(&mut dyn StorageView, Family, &str, f64) -> Result<Json, StorageFault>;
    let operations: [(&str, Step); 2] = [
        ("increment", |storage, family, key, by| {
            storage.increment(family, key, by)
        }),
        ("decrement", |storage, family, key, by| {
            storage.decrement(family, key, by)
        }),
    ];
    for (operation, step) in operations {
        let name = format!("{family}_storage_{operation}");
        let change = move |context: &NativeCallContext, key: &Dynamic, by: f64| {
            let key = key_text(key)?;
            with_state(context, |state| {
                let new = storage(state, |storage| step(storage, family, &key, by))?;
                Ok(to_dynamic(&new))
            })
        };
        engine.register_fn(
            &name,
            move |context: NativeCallContext, key: Dynamic| -> Outcome<Dynamic> {
                change(&context, &key, 1.0)
            },
        );
        engine.register_fn(
            &name,
            move |context: NativeCallContext, key: Dynamic, by: Dynamic| -> Outcome<Dynamic> {
                change(&context, &key, amount(&by)?)
            },
        );
    }
}

fn storage<T>(
    state: &CallState,
    work: impl FnOnce(&mut dyn StorageView) -> Result<T, StorageFault>,
) -> Outcome<T> {
    let mut changing = state.changing();
    match changing.storage.as_deref_mut() {
        Some(storage) => work(storage).map_err(|fault| Raised(fault).into()),
        None => Err(Raised::error(FAILED, "storage is gone: the call has ended")),
    }
}

/// Keys are text; a whole number is taken as its digits, as Cyclr's scripts expect.
fn key_text(key: &Dynamic) -> Outcome<String> {
    if let Ok(text) = key.as_immutable_string_ref() {
        return Ok(text.as_str().to_owned());
    }
    match key.as_int() {
        Ok(number) => Ok(number.to_string()),
        Err(kind) => Err(Raised::error(
            FAILED,
            format!("a storage key must be text, not `{kind}`"),
        )),
    }
}

fn value_json(value: &Dynamic) -> Outcome<Json> {
    to_json(value).map_err(|error| Raised::error(FAILED, format!("this cannot be stored: {error}")))
}

fn amount(by: &Dynamic) -> Outcome<f64> {
    let number = by
        .as_float()
        .or_else(|_| by.as_int().map(|whole| whole as f64));
    match number {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(Raised::error(
            FAILED,
            format!("an amount must be a number, not `{}`", by.type_name()),
        )),
    }
}
