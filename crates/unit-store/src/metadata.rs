//! What can be told from rustc's crate metadata without decoding it.

use memchr::memmem;

/// Length of a crate's hash.
const HASH: usize = 16;
/// Ends every string.
const STRING_END: u8 = 0xc1;

/// Whether the crate with the metadata `dependent` was compiled against the very build in the file
/// `dependency`, or does not refer to it at all. `extra_filename` is what that was given as
/// `-C extra-filename`, and is nobody else's.
///
/// Of each crate that was loaded, rustc writes (`CrateDep` in `rustc_metadata::rmeta`): the name,
/// the hash of the crate, optionally that of its build for the host, the kind in one byte, and the
/// extra filename. Its hash is in the metadata of the crate itself as well. Should this change one
/// day, what is taken for the hash is not in that file, and the answer is no.
pub fn was_compiled_against(dependent: &[u8], dependency: &[u8], extra_filename: &str) -> bool {
    let Ok(length @ 0..0x80) = u8::try_from(extra_filename.len()) else {
        return false;
    };
    let mut reference = vec![length];
    reference.extend_from_slice(extra_filename.as_bytes());
    reference.push(STRING_END);
    // Before the kind: nothing but the tag of the second hash, or that hash as well.
    let is_hash_at = |end: Option<usize>| {
        end.and_then(|end| dependent.get(end.checked_sub(HASH)?..end))
            .is_some_and(|hash| memmem::find(dependency, hash).is_some())
    };
    memmem::find_iter(dependent, &reference)
        .all(|at| [2, 2 + HASH].map(|back| is_hash_at(at.checked_sub(back))) != [false, false])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dependent(hash: &[u8], host_hash: Option<&[u8]>) -> Vec<u8> {
        let mut metadata = b"..\x04leaf\xc1".to_vec();
        metadata.extend_from_slice(hash);
        metadata.push(u8::from(host_hash.is_some()));
        metadata.extend_from_slice(host_hash.unwrap_or_default());
        metadata.extend_from_slice(b"\x02\x05-0123\xc1..");
        metadata
    }

    #[test]
    fn finds_the_build() {
        let (this, other) = ([7; HASH], [8; HASH]);
        let dependency = [&b"rust"[..], &this, b"..."].concat();
        for host_hash in [None, Some(&other[..])] {
            let metadata = dependent(&this, host_hash);
            assert!(was_compiled_against(&metadata, &dependency, "-0123"));
            let metadata = dependent(&other, host_hash);
            assert!(!was_compiled_against(&metadata, &dependency, "-0123"));
        }
    }

    #[test]
    fn takes_no_reference_for_none_needed() {
        assert!(was_compiled_against(b"...", b"...", "-0123"));
        assert!(was_compiled_against(b"", b"", "-0123"));
    }

    #[test]
    fn denies_what_it_cannot_read() {
        assert!(!was_compiled_against(b"\x05-0123\xc1", b"...", "-0123"));
        assert!(!was_compiled_against(b"", b"", &"-".repeat(200)));
    }
}
