//! The two machines: the same bytes of RAM in, RAM after the program has powered off out.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use lockstep::base::Icount;
use lockstep::cpu::{Answer, Question};
use lockstep::isa::Extensions;
use lockstep::machine::{BootOptions, Elf, Exit, Input, Machine, Stop};

use crate::common::skipped;
use crate::image::{BASE, COMPARED_BYTES, RAM_BYTES};

/// RV64GC: extensions are off (their encodings are reserved then), the hpm counters all there.
const QEMU_CPU: &str = "rv64,h=off,zba=off,zbb=off,zbc=off,zbs=off,pmu-num=29";

/// The hart that is most like that: QEMU 7.2 sets A and D by itself and knows no cache blocks.
pub const LIKE_QEMU: &str = "rv64gc,svadu=on,zicbom=off,zicboz=off";
/// The same with extensions of the instruction set.
pub const LIKE_QEMU_EXTENDED: &str = "rv64,svadu=on,zicbom=off,zicboz=off";

/// What QEMU has of the extensions, and the properties that switch them on.
pub fn qemu_extensions() -> (Extensions, String) {
    let old = Extensions::ZBA | Extensions::ZBB | Extensions::ZBS;
    let properties = ",zba=on,zbb=on,zbs=on";
    if qemu_major() < 9 {
        return (old, properties.into());
    }
    (Extensions::ALL, format!("{properties},zicond=on,zcb=on,zfhmin=on,zfa=on"))
}

/// From QEMU 9 on there are more of them to be off, and A and D are set only with `svadu`.
const QEMU_9_CPU: &str = ",zfa=off,zawrs=off,zicond=off,zicbom=off,zicboz=off,svadu=on,svade=off";

/// On top, for accesses that depend on `menvcfg`.
pub const QEMU_CACHE_BLOCKS: &str = ",zicbom=on,zicboz=on";

/// More than any of our programs needs.
const QEMU_PATIENCE: Duration = Duration::from_secs(60);
const INSTRUCTIONS_MAX: u64 = 20_000_000;

/// Is QEMU here? If not, says that `what` is skipped, and fails where it must not be.
pub fn qemu_is_here(what: &str) -> bool {
    let found = Command::new("qemu-system-riscv64").arg("--version").output();
    if found.is_ok_and(|run| run.status.success()) {
        return true;
    }
    let how = "qemu-system-riscv64 is missing (apt-get install qemu-system-misc)";
    assert!(std::env::var_os("CI").is_none(), "{what}: {how}");
    skipped(&format!("{what}: {how}"));
    false
}

/// Does this QEMU know cache-block operations and `menvcfg.ADUE`? If not, says that `what` is skipped.
pub fn qemu_has_envcfg(what: &str) -> bool {
    let has = qemu_major() >= 9;
    if !has {
        skipped(&format!("{what}: QEMU {} is older than 9", qemu_major()));
    }
    has
}

/// The first number of its version.
fn qemu_major() -> u32 {
    static MAJOR: LazyLock<u32> = LazyLock::new(|| {
        let run = Command::new("qemu-system-riscv64").arg("--version").output().expect("QEMU starts");
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        let version =
            text.split_whitespace().nth(3).and_then(|version| version.split('.').next()?.parse().ok());
        version.unwrap_or_else(|| panic!("no version in {text:?}"))
    });
    *MAJOR
}

/// Runs QEMU's `virt` board until it powers off.
pub fn qemu(arguments: &[&str]) -> Output {
    qemu_with("", arguments)
}

fn qemu_with(properties: &str, arguments: &[&str]) -> Output {
    let newer = if qemu_major() >= 9 { QEMU_9_CPU } else { "" };
    let cpu = format!("{QEMU_CPU}{newer}{properties}");
    let child = Command::new("qemu-system-riscv64")
        .args(["-bios", "none", "-nographic", "-monitor", "none", "-cpu", &cpu])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("qemu-system-riscv64 starts");
    wait(child)
}

fn wait(mut child: Child) -> Output {
    let end = Instant::now() + QEMU_PATIENCE;
    // What our programs say fits into a pipe.
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() > end => {
                child.kill().unwrap();
                child.wait().unwrap();
                break std::process::ExitStatus::from_raw(9);
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    Output { status, stdout, stderr }
}

/// RAM after QEMU, its hart with `properties` on top, has run the program. Its RAM is a file that both sides see.
pub fn on_qemu(image: &[u8], properties: &str, directory: &Path) -> Vec<u8> {
    let path = directory.join("ram");
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    file.set_len(RAM_BYTES).unwrap();
    file.write_all(image).unwrap();
    let size = format!("{}M", RAM_BYTES >> 20);
    let backend = format!("memory-backend-file,id=ram,mem-path={},size={size},share=on", path.display());
    let words = ["-M", "virt,memory-backend=ram", "-m", &size, "-object", &backend, "-serial", "none"];
    let run = qemu_with(properties, &words);
    assert!(run.status.success(), "QEMU: {} {}", run.status, String::from_utf8_lossy(&run.stderr));
    let mut ram = vec![0; COMPARED_BYTES];
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_exact(&mut ram).unwrap();
    ram
}

/// RAM after this machine, with the hart `cpu`, has run the program.
pub fn on_lockstep(image: &[u8], cpu: &str) -> Vec<u8> {
    let file = elf(image);
    let options = BootOptions { ram_bytes: RAM_BYTES, cpu: cpu.parse().unwrap(), ..BootOptions::default() };
    let mut machine = Machine::boot(&Elf::parse(&file).unwrap(), &options).unwrap();
    let mut asked = 0;
    loop {
        match machine.run_until(Icount(INSTRUCTIONS_MAX)) {
            Stop::Ask(question) => {
                asked += 1;
                let answer = match question {
                    Question::Time => Answer::Time(asked),
                    Question::Entropy => Answer::Entropy(0),
                    Question::HostId => Answer::HostId(0),
                    Question::WallClock => Answer::WallClock(0),
                };
                machine.deliver(Input::Answer(answer)).unwrap();
            }
            Stop::Halted(Exit::Pass) => break,
            stop => panic!("{stop:?} at pc {:#x}", machine.hart().pc()),
        }
    }
    machine.ram().bytes()[..COMPARED_BYTES].to_vec()
}

/// `image` as an executable with one segment at the start of RAM, where it begins.
fn elf(image: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    let half = |file: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    half(&mut file, &[2, 243, 1, 0]);
    for value in [BASE, 64, 0] {
        file.extend(value.to_le_bytes());
    }
    half(&mut file, &[0, 0, 64, 56, 1, 0, 0, 0]);
    half(&mut file, &[1, 0, 7, 0]);
    for value in [120, BASE, BASE, image.len() as u64, image.len() as u64, 8] {
        file.extend(value.to_le_bytes());
    }
    file.extend(image);
    file
}
