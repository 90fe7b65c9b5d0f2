//! BLAKE3 digests of files, trees and byte strings.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A BLAKE3 digest, 256 bits, shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            let part = part.as_ref();
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// Digest of a file's contents and its length in bytes.
    ///
    /// # Errors
    ///
    /// The file can't be read.
    pub fn of_file(path: &Path) -> io::Result<(Digest, u64)> {
        let mut hasher = blake3::Hasher::new();
        let size = io::copy(&mut fs::File::open(path)?, &mut hasher)?;
        Ok((Digest(*hasher.finalize().as_bytes()), size))
    }

    /// Digest of a file, or of the names and contents of everything below a directory.
    ///
    /// # Errors
    ///
    /// `path` doesn't exist, or something in it can't be read.
    pub fn of_tree(path: &Path) -> io::Result<Digest> {
        if !fs::metadata(path)?.is_dir() {
            return Ok(Digest::of_file(path)?.0);
        }
        let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        let mut parts = Vec::new();
        for entry in entries {
            let path = entry.path();
            let digest = if entry.file_type()?.is_symlink() && !path.exists() {
                Digest::of_bytes(fs::read_link(&path)?.as_os_str().as_encoded_bytes())
            } else {
                Digest::of_tree(&path)?
            };
            parts.push(entry.file_name().as_encoded_bytes().to_vec());
            parts.push(digest.0.to_vec());
        }
        Ok(Digest::of_parts(parts))
    }

    /// The digest's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Whether `contents` has `path` in it other than as the beginning of one of the paths in `known`.
///
/// Compilers write the names of the files that they read into what they produce, which is
/// harmless when those are moved. A path that appears otherwise was asked for by the source
/// (`env!("OUT_DIR")`, say) and would be wrong elsewhere.
pub fn mentions_path(contents: &[u8], path: &Path, known: &[impl AsRef<Path>]) -> bool {
    let needle = path.as_os_str().as_encoded_bytes();
    memchr::memmem::find_iter(contents, needle).any(|at| {
        let rest = &contents[at..];
        !known
            .iter()
            .any(|known| rest.starts_with(known.as_ref().as_os_str().as_encoded_bytes()))
    })
}

/// `contents` with every `path` in it taken out, so that equal contents of two places are equal.
pub fn without_path(contents: &[u8], path: &Path) -> Vec<u8> {
    let needle = path.as_os_str().as_encoded_bytes();
    let mut result = Vec::with_capacity(contents.len());
    let mut start = 0;
    for at in memchr::memmem::find_iter(contents, needle) {
        result.extend_from_slice(&contents[start..at]);
        result.push(0);
        start = at + needle.len();
    }
    result.extend_from_slice(&contents[start..]);
    result
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
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
        // `from_hex` also takes upper-case digits, which this crate never writes.
        blake3::Hash::from_hex(text)
            .map(|hash| Digest(*hash.as_bytes()))
            .map_err(|_| ParseDigestError(text.to_owned()))
    }
}

impl TryFrom<String> for Digest {
    type Error = ParseDigestError;

    fn try_from(text: String) -> Result<Digest, ParseDigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
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
    fn a_source_file_name_is_no_mention() {
        let contents = b"xx/out/gen.rs\0yy";
        let out = Path::new("/out");
        assert!(!mentions_path(contents, out, &["/out/gen.rs"]));
        assert!(mentions_path(contents, out, &[] as &[&str]));
        assert!(mentions_path(b"/out/gen.rs /out\0", out, &["/out/gen.rs"]));
    }
}
