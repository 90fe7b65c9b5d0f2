//! Who may write what: ways to take the permission to write a directory away, from root as well, and to become or to
//! bring in somebody else.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use super::toolchain_bin;

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
    mounted_at(dir, dir)
}

/// Mounts `dir` at `to`, a directory as well, read-only, for the command alone.
pub(crate) fn mounted_at(dir: &Path, to: &Path) -> Result<Prefix, String> {
    let script = r#"
        dir=$0 to=$1
        shift
        mount --bind "$dir" "$to" && mount -o remount,bind,ro "$to" && exec "$@"
    "#;
    let mut prefix = words(&["unshare", "--mount", "sh", "-c", script]);
    prefix.extend([dir.into(), to.into()]);
    check(prefix, to)
}

/// The number of a user who is not the current one.
const NOBODY: &str = "65534";

/// The number of a user, and of a group, that no machine has.
pub(crate) const UNKNOWN: &str = "54321";

/// Gives `own` and everything in it to another user, who can't write `foreign`. The prefix starts a command as that
/// user.
pub(crate) fn as_another_user(own: &Path, foreign: &Path) -> Result<Prefix, String> {
    if !is_root() {
        return Err("only root can become another user".to_owned());
    }
    let become_nobody = |capabilities: &str| {
        let mut prefix = words(&["setpriv", "--clear-groups"]);
        let options = [
            ("reuid", NOBODY),
            ("regid", NOBODY),
            ("inh-caps", capabilities),
            ("ambient-caps", capabilities),
            ("bounding-set", capabilities),
        ];
        prefix.extend(options.map(|(option, value)| format!("--{option}={value}").into()));
        prefix
    };
    // The toolchain may be in a home that is closed to others.
    let rustc = toolchain_bin().join("rustc");
    let prefix = ["-all,+dac_read_search", "-all"]
        .map(become_nobody)
        .into_iter()
        .find(|prefix| runs(prefix, &[rustc.as_os_str(), OsStr::new("--version")]))
        .ok_or("can't start rustc as another user")?;
    chown(&["-R", &format!("{NOBODY}:{NOBODY}")], own)?;
    check(prefix, foreign)
}

/// `chown` with these arguments. `Err` says why that can't be done here.
pub(crate) fn chown(args: &[&str], path: &Path) -> Result<(), String> {
    match Command::new("chown").args(args).arg(path).status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err("only root can give files to others".to_owned()),
    }
}

/// A user namespace in which the current user is root, and every other one unknown.
pub(crate) fn user_namespace() -> Result<Prefix, String> {
    let prefix = words(&["unshare", "--user", "--map-root-user"]);
    match runs(&prefix, &[OsStr::new("true")]) {
        true => Ok(prefix),
        false => Err(format!("{prefix:?} is not permitted here")),
    }
}

/// Sets the umask of a command.
pub(crate) fn with_umask(mask: u32) -> Prefix {
    let script = format!(r#"umask {mask:03o} && exec "$0" "$@""#);
    words(&["sh", "-c", &script])
}

/// Whether the current user has a group that nobody else is in, of the same name, as many systems make one.
pub(crate) fn has_private_group() -> bool {
    let says = |program: &str, args: &[&str]| -> Option<String> {
        let output = Command::new(program).args(args).output().ok()?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    let (user, group) = (says("id", &["-un"]), says("id", &["-gn"]));
    let entry = group
        .as_deref()
        .and_then(|group| says("getent", &["group", group]));
    user == group && entry.is_some_and(|entry| entry.ends_with(':'))
}

/// Mounts a file system of `size` on `dir`, for the command alone. What is in `copy` is there at first, and is what was
/// there at last afterwards.
pub(crate) fn small_disk(dir: &Path, size: &str, copy: &Path) -> Result<Prefix, String> {
    fs::create_dir_all(dir).unwrap();
    let script = r#"
        dir=$0 size=$1 copy=$2
        shift 2
        mount -t tmpfs -o mode=755,size="$size" tmpfs "$dir" || exit 99
        if [ -e "$copy" ]; then
            cp -a "$copy/." "$dir"
        fi
        "$@"
        status=$?
        rm -rf "$copy"
        cp -a "$dir" "$copy"
        exit $status
    "#;
    let is_there = copy.exists();
    let mut prefix = words(&["unshare", "--mount", "sh", "-c", script]);
    prefix.extend([dir.into(), size.into(), copy.into()]);
    let mut words = prefix.clone();
    words.push("true".into());
    let output = Command::new(&words[0]).args(&words[1..]).output();
    if copy.exists() && !is_there {
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
    if !runs(&prefix, &[OsStr::new("ls"), dir.as_os_str()]) {
        return Err(format!("{prefix:?} is not permitted here"));
    }
    let written = dir.join("written-by-the-test");
    if runs(&prefix, &[OsStr::new("touch"), written.as_os_str()]) {
        fs::remove_file(written).ok();
        return Err(format!("{prefix:?} can still write {}", dir.display()));
    }
    Ok(prefix)
}

/// Whether the command succeeds when the prefix starts it.
fn runs(prefix: &Prefix, command: &[&OsStr]) -> bool {
    let words = prefix.iter().map(OsString::as_os_str);
    let mut words = words.chain(command.iter().copied());
    let output = Command::new(words.next().unwrap()).args(words).output();
    output.is_ok_and(|output| output.status.success())
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

fn words(words: &[&str]) -> Prefix {
    words.iter().map(OsString::from).collect()
}
