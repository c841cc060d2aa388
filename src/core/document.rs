//! Fields of a JSON document that a runbook declares: their types, and where in the document they stand.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::FieldType;

/// The fields of a JSON document that expressions may use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, DocumentField>", into = "BTreeMap<String, DocumentField>")]
pub struct DocumentFields {
    types: BTreeMap<String, FieldType>,
    /// JSON pointers of fields that do not stand at the top under their own name.
    places: BTreeMap<String, String>,
}

/// One field as the runbook declares it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DocumentField {
    /// Its type; it stands at the top of the document under its own name.
    Type(FieldType),
    /// Its type and its place.
    At(PlacedField),
}

/// A field that stands elsewhere, or under a name that expressions cannot use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlacedField {
    /// Its type.
    #[serde(rename = "type")]
    pub of: FieldType,
    /// Its place as a JSON pointer (RFC 6901), such as `/data/in/0`.
    pub at: String,
}

impl DocumentFields {
    /// The fields by name, with their types.
    pub fn types(&self) -> &BTreeMap<String, FieldType> {
        &self.types
    }

    /// JSON pointers of fields that do not stand at the top under their own name.
    pub fn places(&self) -> &BTreeMap<String, String> {
        &self.places
    }
}

impl From<BTreeMap<String, DocumentField>> for DocumentFields {
    fn from(declared: BTreeMap<String, DocumentField>) -> Self {
        let mut fields = Self::default();
        for (name, field) in declared {
            let of = match field {
                DocumentField::Type(of) => of,
                DocumentField::At(PlacedField { of, at }) => {
                    fields.places.insert(name.clone(), at);
                    of
                }
            };
            fields.types.insert(name, of);
        }
        fields
    }
}

impl From<DocumentFields> for BTreeMap<String, DocumentField> {
    fn from(DocumentFields { types, mut places }: DocumentFields) -> Self {
        let field = |(name, of): (String, FieldType)| {
            let declared = match places.remove(&name) {
                Some(at) => DocumentField::At(PlacedField { of, at }),
                None => DocumentField::Type(of),
            };
            (name, declared)
        };
        types.into_iter().map(field).collect()
    }
}

impl From<BTreeMap<String, FieldType>> for DocumentFields {
    fn from(types: BTreeMap<String, FieldType>) -> Self {
        Self { types, places: BTreeMap::new() }
    }
}
