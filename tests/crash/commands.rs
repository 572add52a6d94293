//! What the commands say and leave behind, on the real binary.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deskhand"));
    command.args(arguments).env_remove("DESKHAND_LOG").stdin(Stdio::null()).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_mistyped_option_is_told_with_what_to_give_instead() {
    for (arguments, said) in [
        (&["demo", "--tickets", "0"][..], "hint: give 1 or more"),
        (&["demo", "--tickets", "all"], "hint: give 1 or more"),
        (&["crashtest", "--tickets", "0"], "hint: give 1 or more"),
        (&["crashtest", "--kills", "0"], "hint: give 1 or more"),
        (&["crashtest", "--faults", "claude.529=1x"], "hint: add --kills N"),
        (&["backup", "--keep", "0"], "hint: give 1 or more"),
        (&["demo", "--seed", "x"], "hint: any from 0 on will do"),
        (&["demo", "--rate", "0"], "hint: give tickets per minute"),
        (&["demo", "--listen", "9000"], "hint: write 127.0.0.1:9000"),
        (&["sim", "--listen", ":9000"], "hint: write 127.0.0.1:9000"),
        (&["demo", "--latency", "fast"], "hint: write one of"),
        (&["dmeo"], "tip: a similar subcommand exists: 'demo'"),
    ] {
        let done = run(arguments);
        let errors = text(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(said), "{arguments:?}: {errors}");
    }
    for command in ["demo", "sim", "crashtest"] {
        let done = run(&[command, "--faults", "help"]);
        assert!(done.status.success() && text(&done.stdout).contains("lost_after"), "{}", text(&done.stderr));
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("a file").permissions().mode() & 0o777
}

#[test]
fn a_demos_folder_is_its_owners_alone_and_the_commands_on_it_say_only_what_they_did() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let (data_shown, copy_shown) = (data.display().to_string(), copy.display().to_string());
    let done = run(&["demo", "--exit", "--tickets", "1", "--listen", "127.0.0.1:0", "--data", &data_shown]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(mode(&data), 0o700);
    for entry in std::fs::read_dir(&data).expect("a folder") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    let said_nothing_else = |arguments: &[&str]| {
        let done = run(arguments);
        assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
        assert_eq!(text(&done.stderr), "", "{arguments:?}");
    };
    said_nothing_else(&["backup", "--data", &data_shown]);
    said_nothing_else(&["check", "--data", &data_shown]);
    let backup = std::fs::read_dir(data.join("backups")).expect("a folder").next().expect("a backup").expect("a file");
    let backup = backup.path().display().to_string();
    said_nothing_else(&["restore", &backup, "--data", &copy_shown, "--dry-run"]);
    assert!(!copy.exists());
    said_nothing_else(&["restore", &backup, "--data", &copy_shown]);
    said_nothing_else(&["check", "--data", &copy_shown]);
}
