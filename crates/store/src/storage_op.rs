//! What a script's write makes of the value that is there: one meaning for every backend, and for the
//! view that a handler's own reads go through.
//!
//! It does not know who else writes, nor how many items a namespace holds; whoever keeps the items
//! counts them and asks [`StorageLimits::check_items`].

use thiserror::Error;
use velodrome_types::Json;

use crate::batch::StorageOp;
use crate::error::CommitError;

/// How much script storage takes (SPEC §4). The defaults are Cyclr's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageLimits {
    /// Characters of a key.
    pub key_chars: usize,
    /// Characters of a value, as JSON text.
    pub value_chars: usize,
    /// Items of one namespace.
    pub items: u64,
}

impl Default for StorageLimits {
    fn default() -> Self {
        Self {
            key_chars: 128,
            value_chars: 50_000,
            items: 1_000_000,
        }
    }
}

/// A write cannot be applied. Permanent: the same write on the same value is refused again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct StorageRefusal {
    /// The stable code.
    pub code: &'static str,
    /// What is wrong, naming the key.
    pub message: String,
}

impl StorageRefusal {
    /// The key has too many characters.
    pub const KEY_TOO_LONG: &'static str = "storage.key_too_long";
    /// The value has too many characters as JSON text.
    pub const VALUE_TOO_LONG: &'static str = "storage.value_too_long";
    /// An increment of something that is no number, or by or to something that is none.
    pub const NOT_A_NUMBER: &'static str = "storage.not_a_number";
    /// The value's lists and objects stand too deep in each other to be read back.
    pub const VALUE_TOO_DEEP: &'static str = "storage.value_too_deep";
    /// The namespace is full.
    pub const TOO_MANY_ITEMS: &'static str = "storage.too_many_items";
}

impl StorageLimits {
    /// Whether a namespace may hold so many items.
    ///
    /// # Errors
    ///
    /// [`StorageRefusal::TOO_MANY_ITEMS`], naming the key that would be the one too many.
    pub fn check_items(&self, items: u64, key: &str) -> Result<(), StorageRefusal> {
        if items <= self.items {
            return Ok(());
        }
        Err(StorageRefusal {
            code: StorageRefusal::TOO_MANY_ITEMS,
            message: format!(
                "no room for storage key `{key}`: the storage holds {} items, the most it takes; delete some",
                self.items
            ),
        })
    }

    /// Whether a key is short enough.
    ///
    /// # Errors
    ///
    /// [`StorageRefusal::KEY_TOO_LONG`], with the beginning of the key.
    pub fn check_key(&self, key: &str) -> Result<(), StorageRefusal> {
        // A character takes at least a byte, so most keys need no counting.
        if key.len() <= self.key_chars || key.chars().count() <= self.key_chars {
            return Ok(());
        }
        let beginning: String = key.chars().take(20).collect();
        Err(StorageRefusal {
            code: StorageRefusal::KEY_TOO_LONG,
            message: format!(
                "storage key `{beginning}…` has {} characters, {} is the most: use a shorter key",
                key.chars().count(),
                self.key_chars
            ),
        })
    }

    fn check_value(&self, key: &str, value: &Json) -> Result<(), StorageRefusal> {
        if nested_deeper(value, DEEPEST) {
            return Err(StorageRefusal {
                code: StorageRefusal::VALUE_TOO_DEEP,
                message: format!(
                    "the value for storage key `{key}` has lists and objects more than {DEEPEST} deep in each other"
                ),
            });
        }
        if surely_within(value, self.value_chars) {
            return Ok(());
        }
        let text = value.to_string();
        if text.len() <= self.value_chars {
            return Ok(());
        }
        let chars = text.chars().count();
        if chars <= self.value_chars {
            return Ok(());
        }
        Err(StorageRefusal {
            code: StorageRefusal::VALUE_TOO_LONG,
            message: format!(
                "the value for storage key `{key}` has {chars} characters as JSON, {} is the most",
                self.value_chars
            ),
        })
    }
}

impl From<StorageRefusal> for CommitError {
    fn from(refusal: StorageRefusal) -> Self {
        Self::Storage {
            code: refusal.code,
            message: refusal.message,
        }
    }
}

impl StorageOp {
    /// The key it names; `None` where it is about all keys.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Set(key, _)
            | Self::Delete(key)
            | Self::Increment(key, _)
            | Self::Append(key, _) => Some(key),
            Self::DeleteAll => None,
        }
    }
}

/// What stands deeper is not read back by every reader of JSON; ours stops at 128.
const DEEPEST: usize = 120;

/// Whether lists and objects stand in each other deeper than this.
pub fn nested_deeper(value: &Json, depth: usize) -> bool {
    let Some(inside) = depth.checked_sub(1) else {
        return value.is_array() || value.is_object();
    };
    match value {
        Json::Array(items) => items.iter().any(|item| nested_deeper(item, inside)),
        Json::Object(fields) => fields.values().any(|field| nested_deeper(field, inside)),
        _ => false,
    }
}

/// Whether the value is within the limit without writing it out. False says nothing.
fn surely_within(value: &Json, limit: usize) -> bool {
    // The longest number that is written takes less than 32 characters, and a control character of a
    // text becomes six.
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => limit >= 32,
        Json::String(text) => text.len().saturating_mul(6).saturating_add(2) <= limit,
        Json::Array(_) | Json::Object(_) => false,
    }
}

/// What is under the key after the write; `None` is nothing.
///
/// `current` is the committed value, or what earlier writes of the same unit made of it.
/// [`StorageOp::DeleteAll`] leaves nothing under any key.
///
/// # Errors
///
/// A key or a value past the limits, or an increment that has no number to add to.
pub fn apply(
    op: &StorageOp,
    current: Option<&Json>,
    limits: &StorageLimits,
) -> Result<Option<Json>, StorageRefusal> {
    let (key, value) = match op {
        StorageOp::DeleteAll => return Ok(None),
        StorageOp::Delete(key) => {
            limits.check_key(key)?;
            return Ok(None);
        }
        StorageOp::Set(key, value) => (key, value.clone()),
        StorageOp::Increment(key, by) => (key, increment(key, current, *by)?),
        StorageOp::Append(key, value) => (key, append(current, value)),
    };
    limits.check_key(key)?;
    limits.check_value(key, &value)?;
    Ok(Some(value))
}

/// A number as both arithmetics know it.
#[derive(Clone, Copy)]
enum Number {
    Whole(i128),
    Real(f64),
}

impl Number {
    fn of_real(real: f64) -> Option<Self> {
        // 2^64, the first that no 64 bits hold; below it a whole f64 converts without loss.
        const BEYOND: f64 = 18_446_744_073_709_551_616.0;
        if !real.is_finite() {
            None
        } else if real.fract() == 0.0 && real.abs() < BEYOND {
            Some(Self::Whole(real as i128))
        } else {
            Some(Self::Real(real))
        }
    }

    fn of_json(value: &Json) -> Option<Self> {
        match value {
            Json::Number(number) => number
                .as_i128()
                .map(Self::Whole)
                .or_else(|| number.as_f64().and_then(Self::of_real)),
            Json::String(text) => {
                let text = text.trim();
                match text.parse::<i64>() {
                    Ok(whole) => Some(Self::Whole(whole.into())),
                    Err(_) => text.parse::<f64>().ok().and_then(Self::of_real),
                }
            }
            _ => None,
        }
    }

    fn as_real(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Real(real) => real,
        }
    }

    fn into_json(self) -> Option<Json> {
        match self {
            Self::Whole(whole) => i64::try_from(whole)
                .map(Json::from)
                .or_else(|_| u64::try_from(whole).map(Json::from))
                .ok(),
            Self::Real(real) => serde_json::Number::from_f64(real).map(Json::Number),
        }
    }
}

fn increment(key: &str, current: Option<&Json>, by: f64) -> Result<Json, StorageRefusal> {
    let refusal = |message| StorageRefusal {
        code: StorageRefusal::NOT_A_NUMBER,
        message,
    };
    let step = Number::of_real(by).ok_or_else(|| {
        refusal(format!(
            "storage key `{key}` cannot be changed by {by}, which is no finite number"
        ))
    })?;
    let base = match current {
        None => Number::Whole(0),
        Some(value) => Number::of_json(value).ok_or_else(|| {
            refusal(format!(
                "storage key `{key}` holds {}, not a number: set a number first",
                kind(value)
            ))
        })?,
    };
    let whole = match (base, step) {
        (Number::Whole(a), Number::Whole(b)) => Number::Whole(a + b).into_json(),
        _ => None,
    };
    whole
        .or_else(|| Number::Real(base.as_real() + step.as_real()).into_json())
        .ok_or_else(|| {
            refusal(format!(
                "storage key `{key}` would grow past the largest number"
            ))
        })
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

fn append(current: Option<&Json>, value: &Json) -> Json {
    match current {
        None => value.clone(),
        Some(Json::Array(items)) => {
            let mut items = items.clone();
            items.push(value.clone());
            Json::Array(items)
        }
        Some(base) => Json::String(as_text(base) + &as_text(value)),
    }
}

fn as_text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(op: StorageOp, current: Option<Json>, expect: Result<Option<Json>, &str>) {
        let got = apply(&op, current.as_ref(), &StorageLimits::default());
        let got = got.map_err(|refusal| refusal.code);
        // As text too, because 1 and 1.0 are different values to a script.
        let text = |r: &Result<Option<Json>, &str>| format!("{r:?}");
        assert_eq!(text(&got), text(&expect), "{op:?} on {current:?}");
    }

    fn increments(current: Option<Json>, by: f64, expect: Result<Json, &str>) {
        check(
            StorageOp::Increment("n".into(), by),
            current,
            expect.map(Some),
        );
    }

    fn appends(current: Option<Json>, value: Json, expect: Json) {
        check(
            StorageOp::Append("n".into(), value),
            current,
            Ok(Some(expect)),
        );
    }

    #[test]
    fn whole_numbers_stay_whole_while_both_sides_are_and_fit() {
        increments(None, 1.0, Ok(json!(1)));
        increments(Some(json!(41)), 1.0, Ok(json!(42)));
        increments(Some(json!(41.0)), 1.0, Ok(json!(42)));
        increments(Some(json!("41")), -1.0, Ok(json!(40)));
        increments(Some(json!(0.5)), 1.0, Ok(json!(1.5)));
        increments(Some(json!(1)), 0.5, Ok(json!(1.5)));
        increments(Some(json!(" 2.5 ")), 0.5, Ok(json!(3.0)));
        increments(
            Some(json!(i64::MAX)),
            1.0,
            Ok(json!(9_223_372_036_854_775_808_u64)),
        );
        increments(
            Some(json!(9_007_199_254_740_993_i64)),
            2.0,
            Ok(json!(9_007_199_254_740_995_i64)),
        );
        increments(
            Some(json!(u64::MAX)),
            1.0,
            Ok(json!(18_446_744_073_709_551_616.0)),
        );
    }

    #[test]
    fn only_numbers_are_added() {
        let refused = StorageRefusal::NOT_A_NUMBER;
        for value in [
            json!("seven"),
            json!(""),
            json!("NaN"),
            json!("inf"),
            json!(null),
            json!(true),
            json!([1]),
            json!({"a": 1}),
        ] {
            increments(Some(value), 1.0, Err(refused));
        }
        increments(None, f64::NAN, Err(refused));
        increments(None, f64::INFINITY, Err(refused));
        increments(Some(json!(f64::MAX)), f64::MAX, Err(refused));
    }

    #[test]
    fn appending_joins_text_and_lists() {
        appends(None, json!([1]), json!([1]));
        appends(Some(json!("a")), json!("b"), json!("ab"));
        appends(Some(json!("a")), json!(7), json!("a7"));
        appends(Some(json!("a")), json!({"x": 1}), json!("a{\"x\":1}"));
        appends(Some(json!(1)), json!(2), json!("12"));
        appends(Some(json!([1])), json!(2), json!([1, 2]));
        appends(Some(json!([1])), json!([2]), json!([1, [2]]));
    }

    #[test]
    fn deleting_leaves_nothing() {
        check(StorageOp::Delete("n".into()), Some(json!(1)), Ok(None));
        check(StorageOp::DeleteAll, Some(json!(1)), Ok(None));
    }

    #[test]
    fn keys_and_values_have_limits_in_characters() {
        let set = |key: String, value: Json| StorageOp::Set(key, value);
        let key_of = |n| "ä".repeat(n);
        check(set(key_of(128), json!(1)), None, Ok(Some(json!(1))));
        check(
            set(key_of(129), json!(1)),
            None,
            Err(StorageRefusal::KEY_TOO_LONG),
        );
        check(
            StorageOp::Delete(key_of(129)),
            None,
            Err(StorageRefusal::KEY_TOO_LONG),
        );
        let value_of = |n: usize| json!("ä".repeat(n));
        check(
            set("k".into(), value_of(49_998)),
            None,
            Ok(Some(value_of(49_998))),
        );
        check(
            set("k".into(), value_of(49_999)),
            None,
            Err(StorageRefusal::VALUE_TOO_LONG),
        );
        check(
            StorageOp::Append("k".into(), json!("x")),
            Some(value_of(49_998)),
            Err(StorageRefusal::VALUE_TOO_LONG),
        );
    }

    #[test]
    fn values_that_could_not_be_read_back_are_refused() {
        let nested = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        let set = |value: Json| StorageOp::Set("k".into(), value);
        check(set(nested(120)), None, Ok(Some(nested(120))));
        check(set(nested(121)), None, Err(StorageRefusal::VALUE_TOO_DEEP));
        let text = nested(120).to_string();
        assert!(serde_json::from_str::<Json>(&text).is_ok());
    }

    #[test]
    fn a_full_namespace_takes_no_more() {
        let limits = StorageLimits::default();
        assert!(limits.check_items(1_000_000, "k").is_ok());
        let refusal = limits.check_items(1_000_001, "k").unwrap_err();
        assert_eq!(refusal.code, StorageRefusal::TOO_MANY_ITEMS);
    }
}
