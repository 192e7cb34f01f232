//! The requests that AWS publishes with their signatures: what tests and fuzzers start from.

use super::{Authenticated, Rules, authenticate};
use crate::credentials::{Credential, FixedCredentials};
use crate::error::S3Error;
use crate::target::Target;
use futures_util::FutureExt;
use http::Request;
use http::request::Parts;
use std::future::Future;
use std::time::Duration;

pub(crate) const NOW: u64 = 1_369_353_600; // 20130524T000000Z
pub(crate) const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
pub(crate) const CREDENTIAL: &str =
    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request";

/// The signature of [`get_example`].
pub(crate) const GET_SIGNATURE: &str = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
/// The signature of the presigned request.
pub(crate) const PRESIGNED_SIGNATURE: &str =
    "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

pub(crate) fn keys() -> FixedCredentials {
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    FixedCredentials::new([Credential::new("AKIAIOSFODNN7EXAMPLE", secret, "account", "id", "name")])
}

pub(crate) fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

pub(crate) fn at(parts: &Parts, now_s: u64) -> Result<Authenticated, S3Error> {
    let target = Target::parse(&parts.uri, 1 << 14)?;
    let rules = Rules { region: "us-east-1", now_s, skew_max: Duration::from_secs(900) };
    at_once(authenticate(parts, &target, &keys(), rules))
}

/// What a future says that waits for nobody: keys here are all in memory.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("it waits for nobody")
}

pub(crate) fn signed(
    method: &str,
    uri: &str,
    hash: &str,
    more: &[(&str, &str)],
    names: &str,
    signature: &str,
) -> Parts {
    let authorization = format!("{CREDENTIAL},SignedHeaders={names},Signature={signature}");
    let mut headers = vec![("x-amz-content-sha256", hash), ("x-amz-date", "20130524T000000Z")];
    headers.push(("authorization", &authorization));
    if !more.iter().any(|(name, _)| *name == "host") {
        headers.push(("host", "examplebucket.s3.amazonaws.com"));
    }
    headers.extend_from_slice(more);
    head(method, uri, &headers)
}

pub(crate) fn get_example() -> Parts {
    signed(
        "GET",
        "/test.txt",
        EMPTY,
        &[("range", "bytes=0-9")],
        "host;range;x-amz-content-sha256;x-amz-date",
        GET_SIGNATURE,
    )
}

#[cfg(test)]
pub(crate) const PRESIGNED: &str = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524\
    %2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
    &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

pub(crate) fn chunked(trailer: bool) -> (Parts, Vec<u8>) {
    let (hash, names, seed, sums): (_, _, _, [&str; 3]) = if trailer {
        (
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
            "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
            [
                "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
                "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
                "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
            ],
        )
    } else {
        (
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
            "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
            [
                "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
                "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
                "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
            ],
        )
    };
    let mut headers = vec![
        ("host", "s3.amazonaws.com"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "66560"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
    ];
    headers.push(if trailer {
        ("x-amz-trailer", "x-amz-checksum-crc32c")
    } else {
        ("content-length", "66824")
    });
    let mut body = Vec::new();
    for (size, sum) in [65_536, 1024, 0].into_iter().zip(sums) {
        body.extend_from_slice(format!("{size:x};chunk-signature={sum}\r\n").as_bytes());
        body.extend_from_slice(&vec![b'a'; size]);
        if size > 0 {
            body.extend_from_slice(b"\r\n");
        }
    }
    if trailer {
        body.extend_from_slice(
            b"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:\
            d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n",
        );
    }
    body.extend_from_slice(b"\r\n");
    (signed("PUT", "/examplebucket/chunkObject.txt", hash, &headers, names, seed), body)
}
