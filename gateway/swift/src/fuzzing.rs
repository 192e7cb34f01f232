//! Every parser that meets bytes of a client, callable with any bytes at all.
//!
//! A fuzzer outside this crate calls these under the feature `fuzzing`; the property test below calls the same functions
//! with a few hundred random inputs in every test run. A function returns nothing: it panics, or the parser holds.

use crate::bulk::tar;
use crate::entity::{Manifest, parse_asked};
use crate::formpost::whole;
use crate::headers::{self, Kind};
use crate::identity::Identity;
use crate::listing::{self, Format};
use crate::ops::{Listed, parse_version, version_text};
use crate::target::{Query, Target, container_and_object, quote, unquote};
use crate::tempurl::{Digest, Signed, within};
use crate::{SwiftConfig, acl, clock, ranges};
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Uri};
use ringfort_http::header_attributes;

/// A parser under any bytes.
pub type Parser = fn(&[u8]);

/// All of them by name.
pub const PARSERS: &[(&str, Parser)] = &[
    ("request_target", request_target),
    ("request_headers", request_headers),
    ("access_lists", access_lists),
    ("manifests", manifests),
    ("signatures", signatures),
    ("forms", forms),
    ("archives", archives),
];

/// A request target: account, container, object and the query's parameters.
pub fn request_target(bytes: &[u8]) {
    let Ok(uri) = Uri::from_maybe_shared(Bytes::copy_from_slice(bytes)) else { return };
    let _ = Query::parse(uri.query().unwrap_or_default()).map(|query| {
        let _ = (Format::of(&query, &HeaderMap::new()), Signed::of(&query, 0));
        assert!(listing::limit(&query, 10).is_ok_and(|limit| limit <= 10) || query.has("limit"), "a limit");
    });
    let Ok(Target::Store { account, container, object }) = Target::parse(&uri, 1 << 14) else { return };
    let path = format!(
        "/v1/{}/{}/{}",
        crate::tempurl::quote_segment(&account),
        crate::tempurl::quote_segment(&container.clone().unwrap_or_default()),
        quote(&object.clone().unwrap_or_default())
    );
    if container.is_some() {
        let again = path.parse::<Uri>().ok().and_then(|uri| Target::parse(&uri, 1 << 16).ok());
        assert_eq!(again, Some(Target::Store { account, container, object }), "a path has one meaning");
    }
}

/// Headers, a `name:value` in each line; and each value as a range, a date, a source, a version and a content type.
pub fn request_headers(bytes: &[u8]) {
    let mut map = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]))
        else {
            continue;
        };
        if let Ok(text) = value.to_str() {
            values(text);
        }
        map.append(name, value);
    }
    let config = SwiftConfig::default();
    for kind in [Kind::Account, Kind::Container, Kind::Object] {
        let _ = headers::metadata(&map, kind, &config);
    }
    let _ =
        (headers::expiry(&map), headers::check_lengths(&map, &config), Format::of(&Query::default(), &map));
    let _ = crate::formpost::boundary_of(&map);
}

fn values(text: &str) {
    if let ranges::Wanted::Parts(parts) = ranges::wanted(text, 100) {
        assert!(parts.iter().all(|part| part.start < part.end && part.end <= 100), "ranges lie within");
    }
    if let Some(range) = ranges::of_segment(text, 100) {
        assert!(range.start < range.end && range.end <= 100, "a range lies within");
    }
    let _ =
        (clock::parse_iso8601(text), clock::parse_http_date(text), container_and_object(text), unquote(text));
    if let Ok(version) = parse_version(text) {
        assert_eq!(parse_version(&version_text(version)).ok(), Some(version), "a version has one id");
    }
    let listed = Listed::parse(text);
    assert_eq!(Listed::parse(&listed.stored()), listed, "what a listing tells comes back");
}

/// Access lists of containers and accounts.
pub fn access_lists(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(once) = acl::clean("x-container-read", text) {
        assert_eq!(acl::clean("x-container-read", &once).ok().as_ref(), Some(&once), "a clean list is clean");
        let list = acl::ContainerList::parse(&once);
        let nobody =
            Identity { user_id: "\0".to_owned(), project_id: "\0".to_owned(), ..Identity::default() };
        let open = once.contains('*') || once.contains('\0');
        assert!(open || !list.allows_user(&nobody), "a list names who it lets in");
        let _ = (list.lists(), list.allows_referrer("http://example.com/"));
    }
    if let Ok(clean) = acl::clean_account(text) {
        let _ = acl::account_access(&clean, &Identity::default());
    }
}

/// Manifests of static large objects, as they are sent and as they are kept.
pub fn manifests(bytes: &[u8]) {
    let _ = parse_asked(bytes, "/container/object");
    let Some(manifest) = Manifest::read(bytes) else { return };
    let _ = (manifest.etag(), manifest.as_sent(), manifest.clone().into_parts("account"));
    assert_eq!(Manifest::read(&manifest.text()), Some(manifest), "a manifest comes back");
}

/// Signatures, and the addresses that they are limited to.
pub fn signatures(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some((digest, signature)) = Digest::of_signature(text) {
        let again = Digest::of_signature(&hex::encode(&signature));
        assert_eq!(again, Some((digest, signature)), "a signature tells its hash");
    }
    let _ = within(text, std::net::IpAddr::from([10, 1, 2, 3]));
}

/// A form after a byte that says in what steps it arrives. It must read alike in one piece.
pub fn forms(bytes: &[u8]) {
    let [step, form @ ..] = bytes else { return };
    let step = usize::from(*step).max(1);
    assert_eq!(whole::parse(form, "b", step).ok(), whole::parse(form, "b", form.len()).ok(), "by pieces");
    if let Ok(text) = std::str::from_utf8(form) {
        let _ = header_attributes(text);
    }
}

/// An archive after a byte that says in what steps it arrives. It must read alike in one piece.
pub fn archives(bytes: &[u8]) {
    let [step, archive @ ..] = bytes else { return };
    let step = usize::from(*step).max(1);
    assert_eq!(tar::whole(archive, step).ok(), tar::whole(archive, archive.len()).ok(), "by pieces");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ringfort_test_support::damaged;

    /// Well-formed inputs, which random damage then makes ill-formed.
    const SEEDS: &[&[u8]] = &[
        b"/v1/AUTH_test/container/a%2Fb%20c//d?format=json&limit=10&prefix=a%2Bb+c&temp_url_sig=aa&temp_url_expires=99",
        b"x-container-meta-a:b\nrange:bytes=1-2, 4-\nx-delete-after:10\ncontent-type:text/plain;swift_bytes=5\n\
            accept:application/json;q=0.5, */*\nif-modified-since:Fri, 24 May 2013 00:00:00 GMT\nx:1369353600.123456",
        b".r:*,.rlistings,test:tester,*:u, .referrer:-*.example.com",
        b"{\"admin\":[\"a:b\"],\"read-only\":[\"c\"]}",
        b"[{\"path\":\"/c/o\",\"etag\":null,\"size_bytes\":\"5\",\"range\":\"1-2\"},{\"data\":\"aGk=\"}]",
        b"[{\"name\":\"/c/o\",\"bytes\":5,\"hash\":\"x\",\"range\":\"1-2\",\"sub_slo\":true},{\"data\":\"aGk=\"}]",
        b"732fcac368abb10c78a4cbe95c3fab7f311584532bf779abd5074e13cbe8b88b",
        b"10.0.0.0/8",
        b"\x05--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b\r\nContent-Disposition: form-data; \
            name=\"f\"; filename=\"x\"\r\n\r\none\r\n--b--\r\n",
    ];

    #[test]
    fn the_seeds_are_taken_by_every_parser() {
        let archive = [b"\x07".to_vec(), tar::example()].concat();
        for (_, parser) in PARSERS {
            SEEDS.iter().for_each(|seed| parser(seed));
            parser(&archive);
        }
    }

    proptest! {
        #[test]
        fn no_parser_panics_on_any_bytes(bytes in damaged(SEEDS)) {
            for (_, parser) in PARSERS {
                parser(&bytes);
            }
        }

        #[test]
        fn no_archive_breaks_the_parser(at: prop::sample::Index, byte: u8, step: u8) {
            let mut archive = [vec![step], tar::example()].concat();
            let at = at.index(archive.len());
            archive[at] = byte;
            archives(&archive);
        }
    }
}
