//! The shape of a file: which keys it has, and which type each value has. Every mistake of shape is reported, and
//! repaired in the parsed tree: a wrong value is removed or replaced. So the checks that follow run too, and all
//! problems are reported at once. No problem of a replaced value is reported again.
//!
//! The keys and types come from the JSON Schema, which comes from the types that read the file.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, Deserializer};

use super::diagnostics::Diagnostics;
use super::schema;
use repair::Repair;

mod kind;
mod repair;
mod syntax;
mod words;

/// Parses `text` into the fields of `T`. `prepare` may change the tree before its shape is checked.
///
/// Returns `None` if the text is not TOML, or if too much is missing for further checks. Then a problem was reported.
pub(super) fn read<T: DeserializeOwned + JsonSchema>(
    text: &str,
    diagnostics: &mut Diagnostics<'_>,
    prepare: impl FnOnce(&mut DeTable<'_>, &mut Diagnostics<'_>),
) -> Option<T> {
    let (mut tree, errors) = DeTable::parse_recoverable(text);
    let faults = syntax::Faults::of(text, &errors);
    if faults.is_syntax() {
        faults.report(diagnostics, &[]);
        return None;
    }
    diagnostics.learn(tree.get_ref(), "");
    prepare(tree.get_mut(), diagnostics);
    let schema = schema::of::<T>();
    let mut repair = Repair::new(schema.as_value(), faults.tables(), diagnostics);
    repair.root(tree.get_mut());
    let (misspelt, complete) = repair.finish();
    let complete = complete && faults.tables().is_empty();
    faults.report(diagnostics, &misspelt);
    if !complete {
        return None;
    }
    T::deserialize(Deserializer::from(tree)).map_err(|error| diagnostics.refused_by_toml(&error)).ok()
}
