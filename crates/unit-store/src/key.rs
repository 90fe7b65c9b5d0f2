//! Keys: everything that is known before a unit is built and that can change its outputs.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize, Serializer};

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
/// preceded by its length in bytes. That is one byte, or, from 255, the byte 255 and then 64 bits
/// with the lowest first. The fields are kept, so that a reader can say in which of them two keys
/// differ.
///
/// Keys with the same first fields can be built of clones.
pub struct KeyBuilder {
    encoded: Vec<u8>,
}

/// What the fields of most keys take, so that there is room for them from the start.
const CAPACITY: usize = 2048;

impl Clone for KeyBuilder {
    fn clone(&self) -> KeyBuilder {
        // With room for what will be added, which a copy of the bytes has not.
        let mut encoded = Vec::with_capacity(self.encoded.len().max(CAPACITY));
        encoded.extend_from_slice(&self.encoded);
        KeyBuilder { encoded }
    }
}

/// Takes what is shown, without the detour by way of `io::Write`.
struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Says that a length is in the bytes that follow, as it is not less.
const LONG: u8 = u8::MAX;

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
            encoded: Vec::with_capacity(CAPACITY),
        };
        builder.field("format", FORMAT);
        builder
    }

    /// Adds a field.
    pub fn field(&mut self, name: &str, value: impl fmt::Display) -> &mut KeyBuilder {
        self.part(name);
        let start = self.encoded.len();
        self.encoded.push(0);
        // As with `to_string`: a part that was cut off could make two keys one.
        write!(Text(&mut self.encoded), "{value}").expect("no `Display` fails");
        let length = self.encoded.len() - start - 1;
        match short(length) {
            Some(length) => self.encoded[start] = length,
            None => {
                let value = self.encoded.split_off(start + 1);
                self.encoded.truncate(start);
                self.length(length);
                self.encoded.extend(value);
            }
        }
        self
    }

    /// Adds a field whose value is text. The same as [`KeyBuilder::field`], and takes less: most of
    /// the fifty fields of a key are such.
    pub fn text(&mut self, name: &str, value: impl AsRef<str>) -> &mut KeyBuilder {
        self.part(name);
        self.part(value.as_ref());
        self
    }

    /// Adds a field that is a list: the number of items, then each of them. The caller sorts the
    /// items if their order has no meaning.
    pub fn list<T: AsRef<str>>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    ) -> &mut KeyBuilder {
        let items = items.into_iter();
        self.field(name, items.len());
        for item in items {
            self.text(name, item);
        }
        self
    }

    fn part(&mut self, part: &str) {
        self.length(part.len());
        self.encoded.extend_from_slice(part.as_bytes());
    }

    fn length(&mut self, length: usize) {
        match short(length) {
            Some(length) => self.encoded.push(length),
            None => {
                self.encoded.push(LONG);
                self.encoded.extend((length as u64).to_le_bytes());
            }
        }
    }

    /// The key of the fields so far.
    pub fn key(&self) -> Key {
        Key(Digest::of_bytes(&self.encoded))
    }

    /// Names and values of the fields in order, lists as their length followed by their items.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = self.encoded.as_slice();
        let mut part = move || {
            let (length, after) = match rest.split_first()? {
                (&LONG, after) => {
                    let (length, after) = after.split_first_chunk()?;
                    (u64::from_le_bytes(*length) as usize, after)
                }
                (&length, after) => (length.into(), after),
            };
            let (text, after) = after.split_at(length);
            rest = after;
            Some(std::str::from_utf8(text).expect("only text is added"))
        };
        std::iter::from_fn(move || Some((part()?, part()?)))
    }
}

/// A length that is encoded as one byte.
fn short(length: usize) -> Option<u8> {
    u8::try_from(length).ok().filter(|length| *length != LONG)
}

impl fmt::Debug for KeyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.fields()).finish()
    }
}

/// As a sequence of names and values.
impl Serialize for KeyBuilder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.fields())
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
    fn fields_come_back_in_order() {
        let mut builder = KeyBuilder::new();
        builder.field("a", "").list("b", ["x", "ü"]).field("c", 1);
        let fields = [
            ("format", &*FORMAT.to_string()),
            ("a", ""),
            ("b", "2"),
            ("b", "x"),
            ("b", "ü"),
            ("c", "1"),
        ];
        assert_eq!(Vec::from_iter(builder.fields()), fields);
        let format = FORMAT.to_string();
        let encoded = [
            &b"\x06format\x01"[..],
            format.as_bytes(),
            b"\x01a\x00\x01b\x012\x01b\x01x\x01b\x02\xc3\xbc\x01c\x011",
        ];
        assert_eq!(builder.key().0, Digest::of_bytes(encoded.concat()));
    }

    #[test]
    fn long_values_are_encoded_like_short_ones() {
        for length in [253, 254, 255, 256, 257, 70_000] {
            let value = "x".repeat(length);
            let mut builder = KeyBuilder::new();
            builder
                .field("a", &value)
                .text(&value, &value)
                .text("b", "");
            let fields = Vec::from_iter(builder.fields().skip(1));
            assert_eq!(fields, [("a", &*value), (&*value, &*value), ("b", "")]);
            let mut encoded = match u8::try_from(length) {
                Ok(short) if short < 255 => vec![short],
                _ => [&[255][..], &(length as u64).to_le_bytes()].concat(),
            };
            encoded.extend(value.as_bytes());
            let fields = [
                "\x06format\x01".to_owned(),
                FORMAT.to_string(),
                "\x01a".to_owned(),
            ];
            let all = [
                fields.concat().into_bytes(),
                encoded.repeat(3),
                b"\x01b\x00".to_vec(),
            ];
            assert_eq!(builder.key().0, Digest::of_bytes(all.concat()));
        }
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
