//! Query strings.

use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::str::Utf8Error;

/// The decoded names and values of a query string, in their order. `+` means a space, unless the client meant itself.
///
/// # Errors
/// When something is no UTF-8.
pub fn query_pairs(raw: &str, plus_is_literal: bool) -> Result<Vec<(String, String)>, Utf8Error> {
    let decode = |text: &str| -> Result<String, Utf8Error> {
        let spaced = if plus_is_literal || !text.contains('+') {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(text.replace('+', " "))
        };
        Ok(percent_decode_str(&spaced).decode_utf8()?.into_owned())
    };
    let pairs = raw.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}
