//! The JSON Schema of the runbook language, made from the model's types, and the rules made from it.
//!
//! The schema serves editors; [`Rule`] is the same in the form that [`super::validate`] uses. A keyword that the rules
//! do not know would be checked by editors and not by us, so a test refuses it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value, json};

use super::model::Runbook;

/// The JSON Schema of a runbook (draft 2020-12), closed: unknown keys are errors in editors, too.
pub fn schema() -> Value {
    let mut schema = language();
    allow_templates(&mut schema);
    schema
}

/// The language after templates are filled in.
fn language() -> Value {
    language_of::<Runbook>("gonogo runbook")
}

/// The closed schema of a language that is read by these rules.
pub(crate) fn language_of<T: schemars::JsonSchema>(title: &str) -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    let definitions = schema.get("$defs").cloned().unwrap_or_default();
    tidy(&mut schema, &definitions);
    drop_unused(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), json!(title));
    }
    schema
}

/// Before that, a template may stand where a number, a time or a word is wanted.
fn allow_templates(schema: &mut Value) {
    let template = json!({
        "type": "string",
        "pattern": r"\{\{.*\}\}",
        "description": "A template that gives such a value.",
    });
    let Some(object) = schema.as_object_mut() else { return };
    for (key, value) in object.iter_mut() {
        match key.as_str() {
            "properties" | "$defs" => {
                value.as_object_mut().into_iter().flatten().for_each(|(_, of)| allow_templates(of));
            }
            "items" | "additionalProperties" => allow_templates(value),
            "oneOf" | "anyOf" => value.as_array_mut().into_iter().flatten().for_each(allow_templates),
            _ => {}
        }
    }
    let kind = object.get("type").and_then(Value::as_str);
    let checked = object.contains_key("examples") && kind == Some("string");
    if matches!(kind, Some("integer" | "number" | "boolean")) || checked {
        let mut plain = Map::new();
        for key in ["type", "format", "minimum", "maximum", "pattern"] {
            plain.extend(object.remove(key).map(|value| (key.to_owned(), value)));
        }
        object.insert("anyOf".to_owned(), json!([plain, template]));
    } else if let Some(Value::Array(words)) = object.get_mut("oneOf")
        && words.iter().all(|word| word.get("const").is_some() || word.get("enum").is_some())
    {
        words.push(template);
    }
}

/// Closes every object, expands flattened enums and removes `null`: a key without a value is taken for a mistake.
fn tidy(schema: &mut Value, definitions: &Value) {
    if let Value::Array(items) = schema {
        for item in items {
            tidy(item, definitions);
        }
        return;
    }
    let Some(object) = schema.as_object_mut() else { return };
    drop_null(object);
    spread(object, definitions);
    if object.contains_key("properties") && !object.contains_key("additionalProperties") {
        object.insert("additionalProperties".to_owned(), json!(false));
    }
    for (key, value) in object.iter_mut() {
        match key.as_str() {
            "properties" | "$defs" => {
                for (_, value) in value.as_object_mut().into_iter().flatten() {
                    tidy(value, definitions);
                }
            }
            "items" | "additionalProperties" | "oneOf" | "anyOf" => tidy(value, definitions),
            _ => {}
        }
    }
}

fn drop_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|of| of != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    if let Some(Value::Array(options)) = object.get_mut("anyOf") {
        options.retain(|option| option.get("type") != Some(&json!("null")));
        if let [Value::Object(only)] = options.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
}

/// A struct with a flattened tagged enum comes as `properties` beside `oneOf`; each branch becomes an object of
/// its own with all properties, which can then be closed.
fn spread(object: &mut Map<String, Value>, definitions: &Value) {
    if !object.contains_key("oneOf") {
        return;
    }
    let Some(Value::Object(common)) = object.remove("properties") else { return };
    object.remove("type");
    let Some(Value::Array(branches)) = object.get_mut("oneOf") else { return };
    for branch in branches.iter_mut().filter_map(Value::as_object_mut) {
        let name = branch.remove("$ref");
        let own = name.as_ref().and_then(Value::as_str).and_then(|name| resolve(name, definitions));
        let mut properties = match branch.remove("properties") {
            Some(Value::Object(properties)) => properties,
            _ => Map::new(),
        };
        if let Some(own) = own.and_then(|own| own.get("properties")).and_then(Value::as_object) {
            properties.extend(own.clone());
        }
        if let Some(description) = own.and_then(|own| own.get("description")) {
            branch.entry("description").or_insert_with(|| description.clone());
        }
        properties.extend(common.clone());
        branch.insert("properties".to_owned(), Value::Object(properties));
        if let (Some(Value::Array(required)), Some(Value::Array(more))) =
            (branch.get_mut("required"), own.and_then(|own| own.get("required")))
        {
            required.extend(more.iter().cloned());
        }
    }
}

fn resolve<'d>(name: &str, definitions: &'d Value) -> Option<&'d Value> {
    definitions.get(name.strip_prefix("#/$defs/")?)
}

fn drop_unused(schema: &mut Value) {
    let mut used = BTreeSet::new();
    let mut open = Vec::new();
    for (_, value) in schema.as_object().into_iter().flatten().filter(|(key, _)| *key != "$defs") {
        references(value, &mut open);
    }
    while let Some(name) = open.pop() {
        if let Some(definition) = schema.get("$defs").and_then(|all| all.get(&name)).filter(|_| !used.contains(&name)) {
            references(definition, &mut open);
            used.insert(name);
        }
    }
    if let Some(definitions) = schema.get_mut("$defs").and_then(Value::as_object_mut) {
        definitions.retain(|name, _| used.contains(name));
    }
}

/// The definitions that a schema refers to by itself.
fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            let name = object.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/$defs/"));
            found.extend(name.map(str::to_owned));
            object.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// What a value must be.
#[derive(Debug)]
pub(crate) enum Rule {
    /// Nothing: `null`, where the language gives it a meaning.
    Nothing,
    /// Text.
    Text,
    /// A length of time.
    Duration,
    /// A point in time.
    Moment,
    /// How a resolver treats what it remembers.
    ResolverKind,
    Bool,
    /// A whole number between two bounds.
    Int(i64, i64),
    Number,
    /// One of some words.
    Choice(Vec<String>),
    /// A list of at least so many.
    List(Arc<Rule>, usize),
    /// Freely named entries.
    Names(Arc<Rule>),
    /// Known keys.
    Record(RecordRule),
    /// Known keys that depend on the word under one of them.
    Tagged {
        tag: String,
        variants: BTreeMap<String, Arc<Rule>>,
    },
    /// Exactly one key out of some.
    OneKey(BTreeMap<String, Arc<Rule>>),
    /// Any of these, told apart by the type of the value.
    Either(Vec<Arc<Rule>>),
}

#[derive(Debug)]
pub(crate) struct RecordRule {
    pub properties: BTreeMap<String, Arc<Rule>>,
    pub required: Vec<String>,
}

/// The rule for a whole runbook.
pub(super) fn rule() -> &'static Rule {
    static RULE: LazyLock<Arc<Rule>> = LazyLock::new(|| compiled(&language()));
    &RULE
}

/// The rule that a schema stands for.
pub(crate) fn compiled(schema: &Value) -> Arc<Rule> {
    let mut compiler =
        Compiler { definitions: schema.get("$defs").cloned().unwrap_or_default(), done: BTreeMap::new() };
    compiler.rule(schema)
}

struct Compiler {
    definitions: Value,
    done: BTreeMap<String, Arc<Rule>>,
}

impl Compiler {
    fn rule(&mut self, schema: &Value) -> Arc<Rule> {
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            if let Some(done) = self.done.get(name) {
                return Arc::clone(done);
            }
            let rule = match name {
                "#/$defs/Duration" => Arc::new(Rule::Duration),
                "#/$defs/Moment" => Arc::new(Rule::Moment),
                "#/$defs/ResolverKind" => Arc::new(Rule::ResolverKind),
                _ => {
                    let target = resolve(name, &self.definitions).cloned().unwrap_or_default();
                    self.rule(&target)
                }
            };
            self.done.insert(name.to_owned(), Arc::clone(&rule));
            return rule;
        }
        if let Some(options) = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array) {
            return Arc::new(self.options(options));
        }
        if schema.get("const").is_some_and(Value::is_null) {
            return Arc::new(Rule::Nothing);
        }
        Arc::new(match schema.get("type").and_then(Value::as_str) {
            Some("boolean") => Rule::Bool,
            Some("number") => Rule::Number,
            Some("integer") => {
                let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
                let bound = |key: &str| schema.get(key).and_then(Value::as_i64);
                let (least, most) = match format {
                    "uint16" => (0, i64::from(u16::MAX)),
                    "uint32" => (0, i64::from(u32::MAX)),
                    "uint64" => (0, i64::MAX),
                    "int32" => (i64::from(i32::MIN), i64::from(i32::MAX)),
                    _ => (i64::MIN, i64::MAX),
                };
                Rule::Int(bound("minimum").unwrap_or(least), bound("maximum").unwrap_or(most))
            }
            Some("array") => {
                let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
                let items = schema.get("items").map_or_else(|| Arc::new(Rule::Text), |items| self.rule(items));
                Rule::List(items, usize::try_from(least).unwrap_or(usize::MAX))
            }
            Some("object") => self.object(schema),
            _ => match words(schema) {
                Some(words) => Rule::Choice(words),
                None => Rule::Text,
            },
        })
    }

    fn object(&mut self, schema: &Value) -> Rule {
        if let Some(Value::Object(properties)) = schema.get("properties") {
            let properties = properties.iter().map(|(name, of)| (name.clone(), self.rule(of))).collect();
            let required = schema.get("required").and_then(Value::as_array);
            let required = required.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            return Rule::Record(RecordRule { properties, required });
        }
        match schema.get("additionalProperties") {
            Some(of @ Value::Object(_)) => Rule::Names(self.rule(of)),
            _ => Rule::Names(Arc::new(Rule::Text)),
        }
    }

    fn options(&mut self, options: &[Value]) -> Rule {
        if let Some(words) = options.iter().map(words).collect::<Option<Vec<_>>>() {
            return Rule::Choice(words.into_iter().flatten().collect());
        }
        if let Some(variants) = options.iter().map(tag).collect::<Option<Vec<_>>>() {
            let tag = variants.first().map(|(tag, _)| tag.clone()).unwrap_or_default();
            let variants = variants.into_iter().zip(options).map(|((_, word), of)| (word, self.rule(of))).collect();
            return Rule::Tagged { tag, variants };
        }
        let mut rules: Vec<Arc<Rule>> = Vec::new();
        for option in options {
            let rule = self.rule(option);
            match &*rule {
                // Alternatives of an alternative are told apart by their types, too.
                Rule::Either(inner) => rules.extend(inner.iter().cloned()),
                _ => rules.push(rule),
            }
        }
        // Objects with a single required key, and sets of them, are one set of keys.
        let mut keys = BTreeMap::new();
        for rule in &rules {
            match &**rule {
                Rule::Record(RecordRule { properties, required }) if properties.len() == 1 && required.len() == 1 => {
                    keys.extend(properties.iter().map(|(name, of)| (name.clone(), Arc::clone(of))));
                }
                Rule::OneKey(variants) => {
                    keys.extend(variants.iter().map(|(name, of)| (name.clone(), Arc::clone(of))));
                }
                _ => return Rule::Either(rules),
            }
        }
        Rule::OneKey(keys)
    }
}

/// The words of a `const` or `enum` of texts.
fn words(schema: &Value) -> Option<Vec<String>> {
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return Some(vec![word.to_owned()]);
    }
    schema.get("enum")?.as_array()?.iter().map(|word| word.as_str().map(str::to_owned)).collect()
}

/// The property of an object that has a constant, and the constant.
fn tag(schema: &Value) -> Option<(String, String)> {
    schema
        .get("properties")?
        .as_object()?
        .iter()
        .find_map(|(name, of)| of.get("const").and_then(Value::as_str).map(|word| (name.clone(), word.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Keywords that say something about values and that the rules act upon, and those that only describe.
    const KNOWN: [&str; 22] = [
        "$defs",
        "$ref",
        "$schema",
        "additionalProperties",
        "anyOf",
        "const",
        "default",
        "description",
        "enum",
        "examples",
        "format",
        "items",
        "maximum",
        "minItems",
        "minimum",
        "oneOf",
        "pattern",
        "properties",
        "required",
        "title",
        "type",
        "writeOnly",
    ];

    fn keywords(schema: &Value, found: &mut BTreeSet<String>) {
        for (key, value) in schema.as_object().into_iter().flatten() {
            found.insert(key.clone());
            match key.as_str() {
                "properties" | "$defs" => {
                    value.as_object().into_iter().flatten().for_each(|(_, of)| keywords(of, found));
                }
                "items" | "additionalProperties" => keywords(value, found),
                "oneOf" | "anyOf" => value.as_array().into_iter().flatten().for_each(|of| keywords(of, found)),
                _ => {}
            }
        }
    }

    #[test]
    fn every_keyword_of_the_schema_is_known_to_the_rules() {
        let mut found = BTreeSet::new();
        keywords(&schema(), &mut found);
        let unknown: Vec<_> = found.iter().filter(|key| !KNOWN.contains(&key.as_str())).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn objects_are_closed_everywhere() {
        fn open(schema: &Value, path: &str, found: &mut Vec<String>) {
            if schema.get("properties").is_some() && schema.get("additionalProperties") != Some(&json!(false)) {
                found.push(path.to_owned());
            }
            for (key, value) in schema.as_object().into_iter().flatten() {
                open(value, &format!("{path}/{key}"), found);
            }
            for (at, value) in schema.as_array().into_iter().flatten().enumerate() {
                open(value, &format!("{path}/{at}"), found);
            }
        }
        let mut found = Vec::new();
        open(&schema(), "", &mut found);
        assert!(found.is_empty(), "{found:?}");
    }
}
