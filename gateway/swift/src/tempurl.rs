//! Temporary URLs: a signature in the query stands for a token, for one method and one object (or all that begin alike).
//!
//! The signature is an HMAC over `METHOD\nEXPIRES\nPATH`, preceded by `ip=RANGE\n` if addresses are limited, under a key
//! of the account or of the container. Whoever holds a container's key opens that container only.

use crate::acl::Access;
use crate::authorize::Grant;
use crate::clock;
use crate::containers;
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, SwiftGateway};
use crate::headers::{self, Kind};
use crate::target::{PATH, Query, SEGMENT};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use http::header::{CONTENT_DISPOSITION, EXPIRES};
use http::{HeaderName, Method, Response, StatusCode};
use percent_encoding::utf8_percent_encode;
use ringfort_http::ReplyBody;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, UNIX_EPOCH};
use subtle::ConstantTimeEq;

/// A key, and the container that it opens; none for the whole account.
pub(crate) type Key = (String, Option<String>);

/// A hash that signatures may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Digest {
    Sha1,
    Sha256,
    Sha512,
}

impl Digest {
    /// Reads a signature: hexadecimal digits whose number tells the hash, or `hash:base64`.
    pub(crate) fn of_signature(text: &str) -> Option<(Self, Vec<u8>)> {
        if let Some((name, encoded)) = text.split_once(':') {
            let encoded = encoded.trim_end_matches('=');
            let decoded =
                STANDARD_NO_PAD.decode(encoded).or_else(|_| URL_SAFE_NO_PAD.decode(encoded)).ok()?;
            let digest = match name {
                "sha1" => Self::Sha1,
                "sha256" => Self::Sha256,
                "sha512" => Self::Sha512,
                _ => return None,
            };
            return (decoded.len() == digest.len()).then_some((digest, decoded));
        }
        let decoded = hex::decode(text).ok()?;
        let digest =
            [Self::Sha1, Self::Sha256, Self::Sha512].into_iter().find(|d| d.len() == decoded.len())?;
        Some((digest, decoded))
    }

    const fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The HMAC of a text.
    pub(crate) fn hmac(self, key: &str, text: &str) -> Vec<u8> {
        match self {
            Self::Sha1 => mac(Hmac::<sha1::Sha1>::new_from_slice(key.as_bytes()), text),
            Self::Sha256 => mac(Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()), text),
            Self::Sha512 => mac(Hmac::<sha2::Sha512>::new_from_slice(key.as_bytes()), text),
        }
    }
}

fn mac<M: Mac, E>(made: Result<M, E>, text: &str) -> Vec<u8> {
    // A key of any length will do, so there always is one; none would match nothing.
    let Ok(mut mac) = made else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The parameters of a signed URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signed {
    signature: String,
    expires: String,
    expires_s: u64,
    prefix: Option<String>,
    filename: Option<String>,
    inline: bool,
    ip_range: Option<String>,
}

impl Signed {
    /// The parameters, if the URL is a signed one; an error if it only half is.
    pub(crate) fn of(query: &Query, now_s: u64) -> Result<Option<Self>> {
        let (signature, expires) = (query.get("temp_url_sig"), query.get("temp_url_expires"));
        if signature.is_none() && expires.is_none() {
            return Ok(None);
        }
        let (Some(signature), Some(expires)) = (signature, expires) else { return Err(invalid()) };
        let expires_s = expires.parse().ok().or_else(|| clock::parse_iso8601(expires));
        let expires_s = expires_s.filter(|at| *at >= now_s && !signature.is_empty()).ok_or_else(invalid)?;
        let owned = |name: &str| query.get(name).map(str::to_owned);
        Ok(Some(Self {
            signature: signature.to_owned(),
            expires: expires.to_owned(),
            expires_s,
            prefix: owned("temp_url_prefix"),
            filename: owned("filename").filter(|name| !name.is_empty()),
            inline: query.has("inline"),
            ip_range: owned("temp_url_ip_range").filter(|range| !range.is_empty()),
        }))
    }

    /// What was signed, for one method.
    fn text(&self, method: &str, path: &str) -> String {
        let limit = self.ip_range.as_ref().map(|range| format!("ip={range}\n")).unwrap_or_default();
        format!("{limit}{method}\n{}\n{path}", self.expires_s)
    }

    /// What a page that is reached by this URL adds to its links, so that they work too.
    pub(crate) fn link_suffix(&self) -> Option<String> {
        let prefix = self.prefix.as_ref()?;
        let quoted = |text: &str| utf8_percent_encode(text, PATH).to_string();
        let mut suffix = format!(
            "?temp_url_prefix={}&amp;temp_url_expires={}&amp;temp_url_sig={}",
            quoted(prefix),
            quoted(&self.expires),
            quoted(&self.signature)
        );
        if let Some(range) = &self.ip_range {
            suffix.push_str(&format!("&amp;temp_url_ip_range={}", quoted(range)));
        }
        if self.inline {
            suffix.push_str("&amp;inline");
        }
        Some(suffix)
    }

    pub(crate) fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }
}

/// What is said to a URL that opens nothing.
pub(crate) fn invalid() -> SwiftError {
    SwiftError::text(StatusCode::UNAUTHORIZED, "401 Unauthorized: Temp URL invalid\n")
}

impl SwiftGateway {
    /// The keys that may sign for a container: the account's and its own.
    pub(crate) async fn signing_keys(&self, account: &str, container: &str) -> Result<Vec<Key>> {
        let mut keys = Vec::new();
        let both =
            |kind: Kind| ["temp-url-key", "temp-url-key-2"].map(|name| format!("{}{name}", kind.prefix()));
        let known = self.account_metadata(account).await?;
        for name in both(Kind::Account) {
            keys.extend(containers::get(&known, &name).map(|key| (key.to_owned(), None)));
        }
        if let Some(known) = self.container_if_any(account, container).await? {
            for name in both(Kind::Container) {
                let key = known.get(&name).map(|key| (key.to_owned(), Some(container.to_owned())));
                keys.extend(key);
            }
        }
        Ok(keys)
    }

    /// Turns a request with a signed URL into one that may do what was signed, and nothing else.
    pub(crate) async fn redeem(&self, call: &mut Call, signed: &Signed) -> Result<()> {
        let method = call.method().as_str();
        let root = call.object.is_empty();
        let reads = matches!(method, "GET" | "HEAD");
        let root_allowed = reads && signed.prefix.as_deref() == Some("") && !call.container.is_empty();
        let known = matches!(method, "GET" | "HEAD" | "PUT" | "POST" | "DELETE");
        if !known || (root && !root_allowed) || (!root && call.object.trim_matches('/').is_empty()) {
            return Err(invalid());
        }
        let (digest, signature) = Digest::of_signature(&signed.signature).ok_or_else(invalid)?;
        if let Some(range) = &signed.ip_range {
            let peer = call.parts.extensions.get::<SocketAddr>().map(SocketAddr::ip);
            if !peer.is_some_and(|peer| within(range, peer)) {
                return Err(invalid());
            }
        }
        let (account, container, object) = (&call.account_name, &call.container, &call.object);
        let path = match &signed.prefix {
            None => format!("/v1/{account}/{container}/{object}"),
            Some(prefix) if object.starts_with(prefix.as_str()) => {
                format!("prefix:/v1/{account}/{container}/{prefix}")
            }
            Some(_) => return Err(invalid()),
        };
        // Whoever may do more than look may look.
        let methods: &[&str] = if method == "HEAD" { &["HEAD", "GET", "POST", "PUT"] } else { &[method] };
        let keys = self.signing_keys(&call.account, &call.container).await?;
        let opens = |key: &str| {
            let mut texts = methods.iter().map(|method| signed.text(method, &path));
            texts.any(|text| bool::from(digest.hmac(key, &text).ct_eq(&signature)))
        };
        let opener = keys.into_iter().find(|(key, _)| opens(key));
        let (_, container) = opener.ok_or_else(invalid)?;
        if !reads {
            // An upload must not become a pointer to what its sender may not read.
            for name in ["x-object-manifest", "x-symlink-target", "x-copy-from"] {
                if call.parts.headers.contains_key(name) {
                    let shown: Vec<String> = name.split('-').map(capital).collect();
                    let shown = shown.join("-");
                    let text = format!("The header '{shown}' is not allowed in this tempurl");
                    return Err(SwiftError::bad_request(text));
                }
            }
        }
        call.grant = Some(Grant { container });
        call.identity = None;
        call.access = Access::None;
        call.signed = Some(signed.clone());
        // Nothing but the signature was signed.
        let mut kept = vec![("temp_url_sig".to_owned(), signed.signature.clone())];
        if signed.inline {
            kept.push(("inline".to_owned(), String::new()));
        }
        call.query = Query::of(kept);
        Ok(())
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// What the holder of a signed URL gets to see: no metadata but public ones, and a file to save.
pub(crate) fn veil(response: &mut Response<ReplyBody>, signed: &Signed, method: &Method, object: &str) {
    let private: Vec<HeaderName> = response
        .headers()
        .keys()
        .filter(|name| {
            let name = name.as_str();
            name.starts_with("x-object-meta-") && !name.starts_with("x-object-meta-public-")
        })
        .cloned()
        .collect();
    let web = response.extensions().get::<crate::staticweb::Page>().is_some();
    let out = response.headers_mut();
    for name in private {
        out.remove(name);
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        return;
    }
    let disposition = match (&signed.filename, signed.inline || web) {
        (Some(name), true) => disposition("inline", name),
        (None, true) => "inline".to_owned(),
        (Some(name), false) => disposition("attachment", name),
        (None, false) => match out.get(CONTENT_DISPOSITION).and_then(|kept| kept.to_str().ok()) {
            Some(kept) => kept.to_owned(),
            None => {
                let name = object.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
                disposition("attachment", name)
            }
        },
    };
    out.insert(CONTENT_DISPOSITION, headers::value(disposition.replace('\n', "%0A")));
    let expires =
        httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(signed.expires_s.min(253_402_300_799)));
    out.insert(EXPIRES, headers::value(expires));
}

fn disposition(kind: &str, name: &str) -> String {
    const SPACED: &percent_encoding::AsciiSet = &PATH.remove(b' ');
    let (plain, strict) = (utf8_percent_encode(name, SPACED), utf8_percent_encode(name, PATH));
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{strict}")
}

/// Whether an address lies in a range such as `10.0.0.0/8` or is that one address.
pub(crate) fn within(range: &str, peer: IpAddr) -> bool {
    let (base, bits) = range.split_once('/').map_or((range, None), |(base, bits)| (base, Some(bits)));
    let Ok(base) = base.parse::<IpAddr>() else { return false };
    let wide = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)) << 96, 32),
        IpAddr::V6(ip) => (u128::from(ip), 128),
    };
    let peer = peer.to_canonical();
    if base.is_ipv4() != peer.is_ipv4() {
        return false;
    }
    let ((base, width), (peer, _)) = (wide(base), wide(peer));
    let bits = match bits {
        None => width,
        Some(bits) => match bits.parse::<u32>() {
            Ok(bits) if bits <= width => bits,
            _ => return false,
        },
    };
    let mask = if bits == 0 { 0 } else { u128::MAX << (128 - bits) };
    // A base with bits beyond its mask is no network.
    base & !mask == 0 && base & mask == peer & mask
}

/// A key of `SEGMENT` for links within pages.
pub(crate) fn quote_segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn signatures_tell_their_hash() {
        let text = "GET\n1400000000\n/v1/AUTH_a/c/o";
        for digest in [Digest::Sha1, Digest::Sha256, Digest::Sha512] {
            let made = digest.hmac("key", text);
            assert_eq!(Digest::of_signature(&hex::encode(&made)), Some((digest, made)));
        }
        let made = Digest::Sha256.hmac("key", text);
        let encoded = format!("sha256:{}", base64::engine::general_purpose::URL_SAFE.encode(&made));
        assert_eq!(Digest::of_signature(&encoded), Some((Digest::Sha256, made)));
        for bad in ["", "zz", "abcd", "md5:AAAA", "sha256:AAAA", "sha512:?"] {
            assert_eq!(Digest::of_signature(bad), None, "{bad}");
        }
        // From Swift's documentation of the signature's text, computed apart from this code.
        let known = "732fcac368abb10c78a4cbe95c3fab7f311584532bf779abd5074e13cbe8b88b";
        assert_eq!(Digest::of_signature(known).map(|(digest, _)| digest), Some(Digest::Sha256));
    }

    #[test]
    fn half_signed_is_not_signed() {
        let of = |text: &str| Signed::of(&Query::parse(text).unwrap(), 1000);
        assert_eq!(of("x=1").unwrap(), None);
        assert!(of("temp_url_sig=a&temp_url_expires=1000").unwrap().is_some());
        let dated = of("temp_url_sig=a&temp_url_expires=2030-01-01T00:00:00Z").unwrap().unwrap();
        assert_eq!(dated.text("GET", "/p"), "GET\n1893456000\n/p");
        for bad in [
            "temp_url_sig=a",
            "temp_url_expires=2000",
            "temp_url_sig=a&temp_url_expires=999",
            "temp_url_sig=a&temp_url_expires=x",
            "temp_url_sig=&temp_url_expires=2000",
        ] {
            assert_eq!(of(bad).expect_err(bad).status(), 401, "{bad}");
        }
    }

    #[test]
    fn ranges_of_addresses() {
        let check = |range: &str, peer: &str, wanted: bool| {
            assert_eq!(within(range, peer.parse().unwrap()), wanted, "{range} {peer}");
        };
        check("10.0.0.0/8", "10.1.2.3", true);
        check("10.0.0.0/8", "11.1.2.3", false);
        check("127.0.0.1", "127.0.0.1", true);
        check("127.0.0.1", "::ffff:127.0.0.1", true);
        check("0.0.0.0/0", "1.2.3.4", true);
        check("10.0.0.1/8", "10.0.0.1", false);
        check("10.0.0.0/33", "10.0.0.0", false);
        check("2001:db8::/32", "2001:db8::1", true);
        check("2001:db8::/32", "127.0.0.1", false);
        check("x", "127.0.0.1", false);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".{0,80}", query in "[ -~]{0,80}") {
            let _ = (Digest::of_signature(&text), within(&text, IpAddr::from([1, 2, 3, 4])));
            let _ = Query::parse(&query).map(|query| Signed::of(&query, 0));
        }
    }
}
