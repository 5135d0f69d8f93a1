//! `btoa` and `atob`: text as the base64 of its bytes in a charset, and back.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use velodrome_types::Json;

use super::FunctionFault;
use super::bounds::Bounds;
use super::charset::Charset;
use super::entry::Args;

/// As browsers read base64: padding may be there or not.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn btoa(args: Args<'_>, bounds: Bounds) -> Result<Json, FunctionFault> {
    let plain;
    let text = match args.get(0) {
        // As JavaScript's: what is no text is taken as the text it is shown as.
        Some(value @ (Json::Number(_) | Json::Bool(_))) => {
            plain = value.to_string();
            plain.as_str()
        }
        _ => args.text(0, "text")?,
    };
    let charset = charset(args)?;
    // Every charset takes a byte for a character, so this much is certain to come.
    bounds.fits(text.chars().count().div_ceil(3).saturating_mul(4))?;
    let bytes = charset.encode(text).map_err(|why| args.refused(why))?;
    bounds.fits(bytes.len().div_ceil(3).saturating_mul(4))?;
    Ok(Json::String(STANDARD.encode(bytes)))
}

pub(super) fn atob(args: Args<'_>, bounds: Bounds) -> Result<Json, FunctionFault> {
    let text = args.text(0, "base64")?;
    let charset = charset(args)?;
    let compact: String = text.split_ascii_whitespace().collect();
    let bytes = LENIENT
        .decode(compact)
        .map_err(|error| args.refused(format_args!("no base64: {error}")))?;
    let decoded = charset.decode(&bytes).map_err(|why| args.refused(why))?;
    bounds.fits(decoded.len())?;
    Ok(Json::String(decoded))
}

fn charset(args: Args<'_>) -> Result<Charset, FunctionFault> {
    let name = args.text_or(1, "charset", "UTF-8")?;
    Charset::of(name).ok_or_else(|| {
        let name: String = name.chars().take(40).collect();
        args.refused(format_args!(
            "there is no charset `{name}`: use one of {}",
            Charset::NAMES
        ))
    })
}
