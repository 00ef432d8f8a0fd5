//! The program itself, where there is no cluster.

use std::process::{Command, Output};

fn run(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nvmeof-csi"));
    command.arg("controller").args(words);
    for name in [
        "KUBERNETES_SERVICE_HOST",
        "KUBERNETES_SERVICE_PORT",
        "NVMEOF_ROOT",
    ] {
        command.env_remove(name);
    }
    command.output().expect("it starts")
}

#[test]
fn outside_of_a_cluster_it_says_so_and_leaves_no_socket() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("csi.sock");
    let endpoint = format!("unix://{}", socket.display());
    for admin in ["", ":0", "127.0.0.1:0", "[::1]:0"] {
        let output = run(&["--endpoint", &endpoint, "--admin-address", admin]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        for words in [
            "there is no cluster here",
            "KUBERNETES_SERVICE_HOST is not set",
        ] {
            assert!(error.contains(words), "{words:?} in {error}");
        }
    }
    assert!(!socket.exists());
}

#[test]
fn wrong_options_are_refused() {
    for (arguments, words) in [
        (["--driver-name", "a/b"], "driver name"),
        (["--endpoint", ""], "must be unix://"),
        (["--endpoint", "tcp://127.0.0.1:1"], "must be unix://"),
        (["--endpoint", "unix://csi.sock"], "must be unix://"),
        (
            ["--admin-address", "localhost"],
            "must be an IP address and a port",
        ),
        (
            ["--admin-address", ":65536"],
            "a colon and a port for any address",
        ),
        (
            ["--admin-address", ":+80"],
            "a colon and a port for any address",
        ),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(words), "{words:?} is not in {error}");
    }
}
