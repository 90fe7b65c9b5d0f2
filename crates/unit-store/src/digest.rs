//! BLAKE3 digests of files, trees and byte strings.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// A BLAKE3 digest, 256 bits, shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// The text is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("expected 64 hexadecimal digits, found `{0}`")]
pub struct ParseDigestError(String);

impl Digest {
    /// Digest of `bytes`.
    pub fn of_bytes(bytes: impl AsRef<[u8]>) -> Digest {
        Digest(*blake3::hash(bytes.as_ref()).as_bytes())
    }

    /// Digest of the parts of a sequence. Each part is preceded by its length, so that no two
    /// different sequences are encoded alike.
    pub fn of_parts<T: AsRef<[u8]>>(parts: impl IntoIterator<Item = T>) -> Digest {
        let mut encoded = Vec::new();
        for part in parts {
            let part = part.as_ref();
            encoded.extend_from_slice(&(part.len() as u64).to_le_bytes());
            encoded.extend_from_slice(part);
        }
        Digest::of_bytes(encoded)
    }

    /// Digest of a file's contents and its length in bytes.
    ///
    /// # Errors
    ///
    /// The file can't be read.
    pub fn of_file(path: &Path) -> io::Result<(Digest, u64)> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(fs::File::open(path)?)?;
        Ok((Digest(*hasher.finalize().as_bytes()), hasher.count()))
    }

    /// Digest of a file, or of the names and contents of everything below a directory.
    ///
    /// Symbolic links are followed, but no directory is looked at twice, so that cycles end. Of what
    /// is neither file nor directory, only that it exists counts.
    ///
    /// # Errors
    ///
    /// `path` doesn't exist, or something in it can't be read.
    pub fn of_tree(path: &Path) -> io::Result<Digest> {
        let mut parts = Vec::new();
        digest_tree(path, &mut HashSet::new(), &mut parts)?;
        Ok(Digest::of_parts(parts))
    }

    /// The digest's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn digest_tree(
    path: &Path,
    seen: &mut HashSet<PathBuf>,
    parts: &mut Vec<Vec<u8>>,
) -> io::Result<()> {
    let meta = fs::metadata(path)?;
    if meta.is_file() {
        parts.push(b"file".to_vec());
        parts.push(Digest::of_file(path)?.0.as_bytes().to_vec());
    } else if !meta.is_dir() {
        parts.push(b"other".to_vec());
    } else if !seen.insert(fs::canonicalize(path)?) {
        parts.push(b"seen".to_vec());
    } else {
        let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        parts.push(b"directory".to_vec());
        parts.push(entries.len().to_le_bytes().to_vec());
        for entry in entries {
            parts.push(entry.file_name().as_encoded_bytes().to_vec());
            let path = entry.path();
            if entry.file_type()?.is_symlink() {
                parts.push(b"link".to_vec());
                parts.push(
                    fs::read_link(&path)?
                        .as_os_str()
                        .as_encoded_bytes()
                        .to_vec(),
                );
                if fs::metadata(&path).is_err() {
                    continue;
                }
            }
            digest_tree(&path, seen, parts)?;
        }
    }
    Ok(())
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Digest, ParseDigestError> {
        decode_hex(text.as_bytes())
            .map(Digest)
            .ok_or_else(|| ParseDigestError(text.to_owned()))
    }
}

/// The values of hexadecimal digits, in lower case as this crate writes them. A plan reads thousands, with a branch for each if
/// that is left to `blake3`.
const DIGITS: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    values
};

fn decode_hex(text: &[u8]) -> Option<[u8; 32]> {
    let text: &[u8; 64] = text.try_into().ok()?;
    let mut bytes = [0; 32];
    let mut seen = 0;
    for (byte, digits) in bytes.iter_mut().zip(text.as_chunks::<2>().0) {
        let [high, low] = digits.map(|digit| DIGITS[digit as usize]);
        seen |= high | low;
        *byte = high << 4 | (low & 15);
    }
    // Something else than a digit has all bits.
    (seen < 16).then_some(bytes)
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Not by way of a `String`: plans read many of them.
impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Digest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("64 hexadecimal digits")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(Digest::of_parts(["ab", "c"]), Digest::of_parts(["a", "bc"]));
        assert_ne!(Digest::of_parts(["a"]), Digest::of_parts(["a", ""]));
    }

    #[test]
    fn text_form_round_trips() {
        let digest = Digest::of_bytes("x");
        assert_eq!(digest.to_string().parse::<Digest>().expect("valid"), digest);
        assert!("abc".parse::<Digest>().is_err());
        let text = digest.to_string();
        for wrong in ["g", "A", "/", ":"] {
            let text = format!("{wrong}{}", &text[1..]);
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn tree_digest_sees_names_and_contents() {
        let dir = tempfile::tempdir().expect("temp dir");
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("sub")).expect("mkdir");
        fs::write(at("sub/a"), "1").expect("write");
        let first = Digest::of_tree(dir.path()).expect("digest");
        fs::write(at("sub/a"), "2").expect("write");
        let second = Digest::of_tree(dir.path()).expect("digest");
        fs::rename(at("sub/a"), at("sub/b")).expect("rename");
        let third = Digest::of_tree(dir.path()).expect("digest");
        assert_ne!(first, second);
        assert_ne!(second, third);
    }

    #[test]
    fn cycles_of_links_end() {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::write(dir.path().join("a"), "1").expect("write");
        #[cfg(unix)]
        for name in ["x", "y"] {
            std::os::unix::fs::symlink(".", dir.path().join(name)).expect("symlink");
        }
        Digest::of_tree(dir.path()).expect("digest");
    }
}
