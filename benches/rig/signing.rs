//! The least that a signature costs a proxy, for the floor that signs: hashing the caller's token, as a cache of tokens needs
//! it, and the body; the canonical request; one HMAC with a signing key that is cached; the headers of the signature.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderValue, Uri, header};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::macros::format_description;

/// As long as a session token of STS is.
const SESSION_TOKEN: usize = 1024;

/// Signs a request in place.
pub(crate) fn sign(uri: &Uri, headers: &mut HeaderMap, body: &[u8]) {
    let token = headers.get(header::AUTHORIZATION).map(|token| Sha256::digest(token.as_bytes()));
    std::hint::black_box(token);
    let stamp = OffsetDateTime::now_utc()
        .format(format_description!("[year][month][day]T[hour][minute][second]Z"))
        .unwrap();
    headers.insert("x-amz-date", HeaderValue::from_str(&stamp).unwrap());
    headers.insert("x-amz-security-token", HeaderValue::from_str(&"t".repeat(SESSION_TOKEN)).unwrap());
    let mut canonical = format!("POST\n{}\n\n", uri.path());
    let signed = ["accept", "content-type", "host", "x-amz-date", "x-amz-security-token"];
    for name in signed {
        let value = headers.get(name).map_or("localhost", |value| value.to_str().unwrap());
        writeln!(canonical, "{name}:{value}").unwrap();
    }
    let names = signed.join(";");
    write!(canonical, "\n{names}\n{}", hex(&Sha256::digest(body))).unwrap();
    let scope = format!("{}/us-east-1/bedrock/aws4_request", stamp.split('T').next().unwrap());
    let mut signature = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();
    signature.update(format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n").as_bytes());
    signature.update(hex(&Sha256::digest(canonical)).as_bytes());
    let signature = hex(&signature.finalize().into_bytes());
    let value = format!(
        "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/{scope}, SignedHeaders={names}, Signature={signature}"
    );
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&value).unwrap());
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| DIGITS[usize::from(digit)]).collect()
}
