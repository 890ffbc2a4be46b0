//! Binds the listeners of the configuration.

use std::sync::Arc;

use super::{Addresses, StartError};
use crate::config::Listen;
use crate::server::Listener;
use crate::server::tls::Certificate;

/// The bound listeners and their addresses.
pub(super) struct Listeners {
    pub(super) addresses: Addresses,
    pub(super) callers: Vec<Listener>,
    pub(super) probe: Vec<Listener>,
    pub(super) admin: Vec<Listener>,
}

impl Listeners {
    /// Binds every configured address. `certificate` is required for `https`.
    pub(super) fn open(listen: &Listen, certificate: Option<&Arc<Certificate>>) -> Result<Self, StartError> {
        let balancers = listen.balancers.clone().map(Arc::new);
        let mut listeners =
            Self { addresses: Addresses::default(), callers: vec![], probe: vec![], admin: vec![] };
        if let (Some(address), Some(certificate)) = (listen.https, certificate) {
            let listener = Listener::bind(address, Some(certificate.acceptor()?))?.behind(balancers.clone());
            listeners.addresses.https = Some(listener.address()?);
            listeners.callers.push(listener);
        }
        if let Some(address) = listen.http {
            let listener = Listener::bind(address, None)?.behind(balancers.clone());
            listeners.addresses.http = Some(listener.address()?);
            listeners.callers.push(listener);
        }
        if let Some(address) = listen.probe {
            let listener = Listener::bind(address, None)?.checked_by(balancers);
            listeners.addresses.probe = Some(listener.address()?);
            listeners.probe.push(listener);
        }
        if let Some(address) = listen.admin {
            let listener = Listener::bind(address, None)?;
            listeners.addresses.admin = Some(listener.address()?);
            listeners.admin.push(listener);
        }
        Ok(listeners)
    }
}
