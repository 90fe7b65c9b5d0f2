//! Ways to take the permission to write a directory away, from root as well.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// A command that starts another one which can't write some directory.
pub(crate) type Prefix = Vec<OsString>;

/// Takes the permission bits to write away from everything in `dir`. The prefix takes from root what lets it ignore
/// them. `Err` says why that can't be done here.
pub(crate) fn without_permission(dir: &Path) -> Result<Prefix, String> {
    chmod("a-w", dir);
    let prefix = if is_root() {
        words(&["setpriv", "--bounding-set=-all", "--inh-caps=-all"])
    } else {
        Vec::new()
    };
    check(prefix, dir)
}

/// Mounts `dir` on itself, read-only, for the command alone.
pub(crate) fn read_only_mount(dir: &Path) -> Result<Prefix, String> {
    let script = r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@""#;
    let mut prefix = words(&["unshare", "--mount", "sh", "-c", script]);
    prefix.push(dir.into());
    check(prefix, dir)
}

/// Mounts a file system of `size` on `dir`, for the command alone, and copies what is there afterwards to `copy`.
pub(crate) fn small_disk(dir: &Path, size: &str, copy: &Path) -> Result<Prefix, String> {
    fs::create_dir_all(dir).unwrap();
    let script = r#"
        dir=$0 size=$1 copy=$2
        shift 2
        mount -t tmpfs -o mode=755,size="$size" tmpfs "$dir" || exit 99
        "$@"
        status=$?
        cp -a "$dir" "$copy"
        exit $status
    "#;
    let mut prefix = words(&["unshare", "--mount", "sh", "-c", script]);
    prefix.extend([dir.into(), size.into(), copy.into()]);
    let mut words = prefix.clone();
    words.push("true".into());
    let output = Command::new(&words[0]).args(&words[1..]).output();
    if copy.exists() {
        fs::remove_dir_all(copy).unwrap();
    }
    match output {
        Ok(output) if output.status.success() => Ok(prefix),
        _ => Err(format!("can't mount a tmpfs here: {output:?}")),
    }
}

/// Gives back what [`without_permission`] took, so that the directory can be removed.
pub(crate) fn give_back(dir: &Path) {
    chmod("u+w", dir);
}

fn chmod(mode: &str, dir: &Path) {
    let status = Command::new("chmod").args(["-R", mode]).arg(dir).status();
    assert!(status.unwrap().success());
}

/// Makes sure that the prefix works at all, and that it does what it is for.
fn check(prefix: Prefix, dir: &Path) -> Result<Prefix, String> {
    let run = |program: &[&str], path: &Path| {
        let mut words = prefix.clone();
        words.extend(program.iter().map(OsString::from));
        let output = Command::new(&words[0]).args(&words[1..]).arg(path).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !run(&["ls"], dir) {
        return Err(format!("{prefix:?} is not permitted here"));
    }
    if run(&["touch"], &dir.join("written-by-the-test")) {
        fs::remove_file(dir.join("written-by-the-test")).ok();
        return Err(format!("{prefix:?} can still write {}", dir.display()));
    }
    Ok(prefix)
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

fn words(words: &[&str]) -> Prefix {
    words.iter().map(OsString::from).collect()
}
