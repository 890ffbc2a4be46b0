//! The requests of the query protocol: a form in which the names express structures and lists.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::StsError;

/// The fields of a form that have not been read yet. Reading a field removes it.
#[derive(Debug)]
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    pub(super) fn parse(body: &[u8]) -> Result<Self, StsError> {
        let body = std::str::from_utf8(body).map_err(|_| StsError::validation("the form is not ASCII"))?;
        let mut fields = BTreeMap::new();
        for pair in body.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            if fields.insert(name.clone(), decode(value)?).is_some() {
                return Err(StsError::validation(format!("duplicate parameter {name}")));
            }
        }
        Ok(Self(fields))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// The list `name.member.1`, `name.member.2`, …; with a `field`, `name.member.1.field` and so on.
    pub(super) fn take_list(&mut self, name: &str, field: Option<&str>) -> Vec<String> {
        let suffix = field.map(|field| format!(".{field}")).unwrap_or_default();
        (1..).map_while(|index| self.take(&format!("{name}.member.{index}{suffix}"))).collect()
    }

    /// Rejects fields that have not been read.
    pub(super) fn finish(self) -> Result<(), StsError> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(StsError::validation(format!("unknown parameter {name}"))),
        }
    }
}

fn decode(text: &str) -> Result<String, StsError> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| StsError::validation("the form is not UTF-8"))
}
