//! Keys: everything that is known before a unit is built and that can change its outputs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Digest, FORMAT};

/// Names a unit in a store. Two builds with one key were given the same inputs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(Digest);

/// Digits of a key that name its directory.
const DIR_NAME_LENGTH: usize = 32;

impl Key {
    /// Name of the key's directory: its first 128 bits, which is far beyond accidental
    /// collisions and leaves room in the path lengths that some systems allow. The record has the
    /// whole key, and a reader compares it.
    pub fn dir_name(&self) -> String {
        let mut name = self.0.to_string();
        name.truncate(DIR_NAME_LENGTH);
        name
    }

    /// The same of a key that was written as text. `None` if it is no such text.
    pub(crate) fn dir_name_of(text: &str) -> Option<&str> {
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        text.get(..DIR_NAME_LENGTH).filter(|_| is_hex)
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Builds a [`Key`] out of named fields.
///
/// The encoding is canonical: fields in the order in which they were added, each name and value
/// preceded by its length. The fields are kept, so that a reader can say in which of them two
/// keys differ.
#[derive(Debug)]
pub struct KeyBuilder {
    fields: Vec<(&'static str, String)>,
}

impl Default for KeyBuilder {
    fn default() -> KeyBuilder {
        KeyBuilder::new()
    }
}

impl KeyBuilder {
    /// Starts a key. The store's [`FORMAT`] is its first field: a program that encodes or stores
    /// differently never meets this one's units.
    pub fn new() -> KeyBuilder {
        let mut builder = KeyBuilder {
            fields: Vec::with_capacity(40),
        };
        builder.field("format", FORMAT);
        builder
    }

    /// Adds a field.
    pub fn field(&mut self, name: &'static str, value: impl fmt::Display) -> &mut KeyBuilder {
        self.fields.push((name, value.to_string()));
        self
    }

    /// Adds a field that is a list: the number of items, then each of them. The caller sorts the
    /// items if their order has no meaning.
    pub fn list<T: fmt::Display>(
        &mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
    ) -> &mut KeyBuilder {
        let start = self.fields.len();
        self.field(name, "");
        self.fields
            .extend(items.into_iter().map(|item| (name, item.to_string())));
        self.fields[start].1 = (self.fields.len() - start - 1).to_string();
        self
    }

    /// The key of the fields so far.
    pub fn key(&self) -> Key {
        Key(Digest::of_parts(self.fields.iter().flat_map(
            |(name, value)| [name.as_bytes(), value.as_bytes()],
        )))
    }

    /// The fields in order, lists as their length followed by their items.
    pub fn fields(&self) -> &[(&'static str, String)] {
        &self.fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(build: impl FnOnce(&mut KeyBuilder)) -> Key {
        let mut builder = KeyBuilder::new();
        build(&mut builder);
        builder.key()
    }

    #[test]
    fn every_part_of_a_field_counts() {
        let base = key(|b| {
            b.field("a", "1");
        });
        assert_ne!(
            base,
            key(|b| {
                b.field("a", "2");
            })
        );
        assert_ne!(
            base,
            key(|b| {
                b.field("b", "1");
            })
        );
        assert_eq!(
            base,
            key(|b| {
                b.field("a", 1);
            })
        );
    }

    #[test]
    fn lists_do_not_run_together() {
        let one = key(|b| {
            b.list("a", ["x", "y"]).list("a", [] as [&str; 0]);
        });
        let two = key(|b| {
            b.list("a", ["x"]).list("a", ["y"]);
        });
        assert_ne!(one, two);
    }
}
