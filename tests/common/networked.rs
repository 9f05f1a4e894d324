//! A Debian guest that gets its address from a switch of the test's own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lockstep::host::switch::query;
use lockstep::lab::cluster::{Cluster, Process, free_tcp};
use lockstep::lab::linux::Images;
use lockstep::lab::onlooker::{Onlooker, OnlookerError};

use super::BINARY;

/// Longer than anything here may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(180);
const PROMPT: &str = "lockstep:~# ";

/// A switch process, which ends with this.
pub struct Switch {
    child: Child,
    pub at: SocketAddr,
}

impl Switch {
    /// With these arguments after `--listen`.
    pub fn start(dir: &Path, arguments: &[String]) -> Self {
        let at = free_tcp().unwrap();
        let child = Command::new(BINARY)
            .args(["switch", "--listen", &at.to_string()])
            .args(arguments)
            .env("LOCKSTEP_DIES_WITH", std::process::id().to_string())
            .stdin(Stdio::piped())
            .stdout(File::create(dir.join("own-switch.out")).unwrap())
            .stderr(File::create(dir.join("own-switch.err")).unwrap())
            .spawn()
            .unwrap();
        let switch = Self { child, at };
        let until = Instant::now() + PATIENCE;
        while query(at).is_err() {
            assert!(Instant::now() < until, "the switch does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        switch
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

/// A primary that runs the guest at `switch`, up to its shell's prompt, and a terminal at its console.
pub fn boot(images: &Images, dir: &Path, switch: &Switch) -> (Cluster, Process, Onlooker) {
    let mut cluster = Cluster::start(Path::new(BINARY), dir, Path::new(""), "96M", None).unwrap();
    let append = format!("{} lockstep.ip=dhcp", images.cmdline);
    let [kernel, initrd] = [&images.kernel, &images.initrd].map(|path| path.display().to_string());
    cluster.guest_words =
        ["--kernel", &kernel, "--initrd", &initrd, "--append", &append].map(str::to_owned).to_vec();
    cluster.vm = "linux".into();
    cluster.patience = PATIENCE;
    cluster.silence_ms = Some(10_000);
    cluster.via.switch = Some(switch.at);
    let mut primary = cluster.primary().unwrap();
    cluster.await_status(&mut primary, "running", |_| true).unwrap();
    let mut console =
        Onlooker::attach(Path::new(BINARY), dir, &primary.address.to_string(), PATIENCE).unwrap();
    let prompt = |text: &str| text.contains(PROMPT).then_some(());
    console.wait("a prompt", 0, PATIENCE, |_| Ok::<_, OnlookerError>(()), prompt).unwrap();
    (cluster, primary, console)
}

/// A command in the guest's shell: all that it says, then `status` and its status.
pub fn ask(console: &mut Onlooker, command: &str) -> String {
    let from = console.len();
    console.types(&format!("{command}; echo status $? end-of-$((1+1))\n")).unwrap();
    let said = console.wait(
        command,
        from,
        PATIENCE,
        |_| Ok::<_, OnlookerError>(()),
        |text| text.split_once("end-of-2").map(|(said, _)| said.to_owned()),
    );
    said.unwrap_or_else(|error| panic!("{command}: {error}"))
}
