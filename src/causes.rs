//! Errors with their causes, as text for logs and operators.

use std::error::Error;
use std::io;

use rustls::CertificateError;

/// An error and its causes in one line. The gateway does not use the SDK's own rendering, because that adds debug
/// output, which may contain answers of metadata services.
pub(crate) fn in_one_line(error: &(dyn Error + 'static)) -> String {
    joined(chain(error).map(ToString::to_string))
}

/// The text of a connection's error: [`in_one_line`], or the fault of the server's certificate or of its address and
/// what the operator can do. `ca_key` is the key of the configuration that names the CA of such a server.
pub(crate) fn of_connection(error: &(dyn Error + 'static), ca_key: &str) -> String {
    let known = certificate_fault(error, ca_key).or_else(|| reach_fault(error).map(str::to_owned));
    known.unwrap_or_else(|| in_one_line(error))
}

/// `None` if the error has another cause.
fn certificate_fault(error: &(dyn Error + 'static), ca_key: &str) -> Option<String> {
    let Some(rustls::Error::InvalidCertificate(fault)) = chain(error).find_map(tls_error) else {
        return None;
    };
    let not_now = "its certificate is not valid now";
    let other_host = "its certificate is for another host";
    Some(match fault {
        CertificateError::Expired | CertificateError::NotValidYet => not_now.to_owned(),
        CertificateError::ExpiredContext { .. } | CertificateError::NotValidYetContext { .. } => {
            format!("{not_now}: {fault}")
        }
        CertificateError::NotValidForName => other_host.to_owned(),
        CertificateError::NotValidForNameContext { .. } => format!("{other_host}: {fault}"),
        CertificateError::BadEncoding => "its certificate cannot be read".to_owned(),
        CertificateError::Revoked => "its certificate is revoked".to_owned(),
        // The library has only debug output for the others.
        _ => format!(
            "its certificate is not trusted (no known CA has signed it, or it is a CA's own certificate); if its CA is \
             a private one, name it in {ca_key}"
        ),
    })
}

/// Why no connection was opened; `None` if the error has another cause.
fn reach_fault(error: &(dyn Error + 'static)) -> Option<&'static str> {
    chain(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).find_map(|error| match error.kind() {
        // A socket has no such error; the issuers' resolver reports an unknown name so.
        io::ErrorKind::NotFound => Some("its host name cannot be resolved; check it and this machine's DNS"),
        io::ErrorKind::ConnectionRefused => Some("connection refused; check host and port"),
        _ => None,
    })
}

/// Whether a name did not resolve. The connector's error has no other sign of it than this text.
pub(crate) fn is_unknown_host(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|cause| cause.to_string() == "dns error")
}

/// The TLS error that an error is or contains. The `source` of an I/O error skips the error within it, which may be
/// another I/O error.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().and_then(|within| tls_error(within)),
        None => error.downcast_ref(),
    }
}

/// The texts of an error and its causes in one line, without those that the text before already contains: many errors
/// repeat the text of their cause.
pub(crate) fn joined(texts: impl Iterator<Item = String>) -> String {
    let mut kept: Vec<String> = Vec::new();
    for text in texts {
        if !kept.last().is_some_and(|last| last.contains(&text)) {
            kept.push(text);
        }
    }
    kept.join(": ")
}

/// An error, its cause, the cause of that cause, and so on.
pub(crate) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Fault {
        text: &'static str,
        source: Option<Box<Fault>>,
    }

    fn fault(text: &'static str, source: Option<Fault>) -> Fault {
        Fault { text, source: source.map(Box::new) }
    }

    #[test]
    fn causes_follow_and_are_not_repeated() {
        let cause = fault("refused", Some(fault("os error 111", None)));
        assert_eq!(in_one_line(&fault("no connection", Some(cause))), "no connection: refused: os error 111");
        let repeating = fault("no connection: refused", Some(fault("refused", None)));
        assert_eq!(in_one_line(&repeating), "no connection: refused");
    }

    #[test]
    fn the_fault_of_a_certificate_is_said_in_words() {
        let other = rustls::OtherError(std::sync::Arc::new(fault("CaUsedAsEndEntity", None)));
        for (fault, said) in [
            (CertificateError::UnknownIssuer, "is not trusted"),
            (CertificateError::Other(other), "is not trusted"),
            (CertificateError::Expired, "its certificate is not valid now"),
            (CertificateError::NotValidForName, "its certificate is for another host"),
        ] {
            let error = io::Error::other(io::Error::other(rustls::Error::InvalidCertificate(fault)));
            let text = of_connection(&error, "aws.endpoints.ca");
            assert!(text.contains(said) && !text.contains("Other("), "{text}");
            assert_eq!(text.contains("aws.endpoints.ca"), said == "is not trusted", "{text}");
        }
        assert_eq!(of_connection(&fault("refused", None), "issuer.ca"), "refused");
        let unknown = io::Error::new(io::ErrorKind::NotFound, "failed to lookup address information");
        assert!(of_connection(&unknown, "issuer.ca").starts_with("its host name cannot be resolved"));
    }
}
