//! The addresses of listeners: an IP address and a port each, and none of them twice.

use std::net::{IpAddr, SocketAddr};

use super::diagnostics::Diagnostics;
use super::raw::Text;

/// The addresses that listeners have, each with its key and line.
#[derive(Default)]
pub(super) struct Taken(Vec<(SocketAddr, &'static str, usize)>);

impl Taken {
    /// The address of the listener `key`; `None` if it is not one, which is reported.
    pub(super) fn address(
        &mut self,
        text: &Text,
        key: &'static str,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Option<SocketAddr> {
        let Ok(address) = text.get_ref().parse::<SocketAddr>() else {
            let (message, help) = not_an_address(text.get_ref());
            diagnostics.error(text.span(), message, help);
            return None;
        };
        // Port 0 lets the system choose a free one each time.
        let earlier = self.0.iter().find(|(other, ..)| address.port() != 0 && *other == address);
        if let Some((_, other, line)) = earlier {
            let message = format!("{address} is already the address of listen.{other} (line {line})");
            let help = format!("use another port, for example \"{}\"", self.free(address));
            diagnostics.error(text.span(), message, help);
        }
        self.0.push((address, key, diagnostics.line(&text.span())));
        Some(address)
    }

    /// The address with the next port that no listener has.
    fn free(&self, address: SocketAddr) -> SocketAddr {
        let is_free = |port: &u16| self.0.iter().all(|(taken, ..)| taken.port() != *port);
        let port = (address.port()..=u16::MAX).find(is_free).unwrap_or_else(|| address.port());
        SocketAddr::new(address.ip(), port)
    }
}

/// The fault of a text that is not an address, and the advice.
fn not_an_address(text: &str) -> (String, String) {
    let offers = |port: u16| {
        format!(
            "write \"127.0.0.1:{port}\" (this machine only) or \"0.0.0.0:{port}\" (every network interface)"
        )
    };
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        let example = SocketAddr::new(ip, 8080);
        return (format!("\"{text}\" has no port"), format!("write, for example, \"{example}\""));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return (format!("\"{text}\" is not an IP address and a port"), offers(8080));
    };
    match (host.trim_matches(['[', ']']).parse::<IpAddr>(), port.parse::<u16>()) {
        (Ok(_), Err(_)) => (
            format!("\"{port}\" is not a port"),
            "write a number from 1 to 65535 behind the colon".to_owned(),
        ),
        (Err(_), Ok(port)) if host.is_empty() => {
            (format!("\"{text}\" has no IP address before the port"), offers(port))
        }
        (Err(_), Ok(port))
            if host.contains(|c: char| c.is_ascii_alphabetic()) && !host.contains([':', '/']) =>
        {
            (format!("\"{host}\" is a name, and only an IP address can stand here"), offers(port))
        }
        (Ok(_), Ok(_)) => {
            (format!("\"{text}\" is an IPv6 address without brackets"), format!("write \"[{host}]:{port}\""))
        }
        _ => (format!("\"{text}\" is not an IP address and a port"), offers(8080)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_an_address_has_its_own_message() {
        for (text, message) in [
            ("localhost:8080", "\"localhost\" is a name, and only an IP address can stand here"),
            (":8080", "\":8080\" has no IP address before the port"),
            ("127.0.0.1", "\"127.0.0.1\" has no port"),
            ("[::1]", "\"[::1]\" has no port"),
            ("127.0.0.1:99999", "\"99999\" is not a port"),
            ("127.0.0.1:", "\"\" is not a port"),
            ("8080", "\"8080\" is not an IP address and a port"),
            ("http://a:8080", "\"http://a:8080\" is not an IP address and a port"),
        ] {
            assert_eq!(not_an_address(text).0, message, "{text}");
        }
        assert!(not_an_address("localhost:8443").1.contains("\"127.0.0.1:8443\""));
    }
}
