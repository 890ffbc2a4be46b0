//! The JSON Schema of the configuration file, for editors and for programs that generate configurations. The gateway
//! also rejects everything that the schema rejects. It checks more than that, for example how values fit together.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _, transform_subschemas};
use serde_json::{Value, json};

use super::raw;

mod markdown;

/// The schema (draft 2020-12). `config/gateway.schema.json` is a copy of it.
pub fn json_schema() -> String {
    format!("{:#}\n", schema().as_value())
}

/// The schema as a document, which is `docs/CONFIGURATION.md`.
pub fn schema_document() -> String {
    markdown::document(schema().as_value())
}

fn schema() -> Schema {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<raw::File>();
    schema.insert("title".to_owned(), "bedrock-gateway".into());
    RecursiveTransform(without_null).transform(&mut schema);
    RecursiveTransform(unwrapped).transform(&mut schema);
    or_from_the_environment(&mut schema);
    schema
}

/// The keys and types of `T`, without what only editors need.
pub(super) fn of<T: schemars::JsonSchema>() -> Schema {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    RecursiveTransform(without_null).transform(&mut schema);
    schema
}

/// Removes null from optional values: TOML has no null.
fn without_null(schema: &mut Schema) {
    let is_null = |value: &Value| *value == json!({ "type": "null" });
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(forms)) = schema.get_mut("anyOf") {
        forms.retain(|form| !is_null(form));
        if let [Value::Object(only)] = forms.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            only.into_iter().for_each(|(key, value)| drop(schema.insert(key, value)));
        }
    }
}

/// Joins the lines of a description, which are broken only because the source's lines are short.
fn unwrapped(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ");
    }
}

/// Allows `${NAME}` where the schema has a closed list of strings.
fn or_from_the_environment(schema: &mut Schema) {
    // Inner schemas first, otherwise the new schema around a list would be transformed again.
    transform_subschemas(&mut or_from_the_environment, schema);
    let closed = ["enum", "oneOf"].into_iter().find_map(|key| Some((key, schema.remove(key)?)));
    if let Some((key, names)) = closed {
        schema.remove("type");
        let forms = json!([{ key: names }, { "type": "string", "pattern": "\\$\\{" }]);
        schema.insert("anyOf".to_owned(), forms);
    }
}
