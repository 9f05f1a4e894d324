//! Debian's U-Boot in the kernel's place (`--kernel`), on the machine's own SBI and on OpenSBI: it finds
//! the operating system on the disk, as a distribution's is started, and the whole is replayed.
//!
//! Where a package is missing, the tests say so loudly.

#[allow(dead_code, reason = "a tool box that several test programs share")]
mod common;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::kernel::{DBCN, LEGACY_PUTCHAR, SRST, call, image};
use common::{lockstep, said, skipped};

/// Where Debian's package `u-boot-qemu` puts the U-Boot for S-mode and the one for M-mode, and `opensbi` its
/// firmware.
const U_BOOT: &str = "/usr/lib/u-boot/qemu-riscv64_smode";
const U_BOOT_M: &str = "/usr/lib/u-boot/qemu-riscv64";
const OPENSBI: &str = "/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin";

const PARTITION_SECTOR: u32 = 2048;
const DISK_SECTORS: u32 = 32_768;
const MENU: &str = "default small\ntimeout 1\nlabel small\n  linux /Image\n  append console=ttyS0\n";

/// A disk with one bootable partition, whose extlinux menu starts a kernel that says a line and powers off.
/// `putchar` is the call that says a byte; on OpenSBI before 1.3 that is the legacy one.
fn disk(dir: &Path, putchar: fn(u8) -> Vec<u32>) -> Option<PathBuf> {
    let (files, disk) = (dir.join("files"), dir.join("disk.img"));
    let said = b"started from the disk\n".iter().flat_map(|&byte| putchar(byte));
    let code: Vec<u32> = said.chain(call(SRST, 0, 0, 0)).collect();
    let mut kernel = image(&code);
    // U-Boot's `booti` wants the version of the header that has the second magic number.
    kernel[0x20] = 2;
    fs::create_dir_all(files.join("extlinux")).expect("a directory");
    fs::write(files.join("extlinux/extlinux.conf"), MENU).expect("written");
    fs::write(files.join("Image"), kernel).expect("written");
    let whole = File::create(&disk).expect("a file");
    whole.set_len(u64::from(DISK_SECTORS) * 512).expect("sparse");
    // One entry of a master boot record: active, Linux, from sector 2048 to the end.
    let mut entry = [0x80, 0, 2, 0, 0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    entry[8..12].copy_from_slice(&PARTITION_SECTOR.to_le_bytes());
    entry[12..].copy_from_slice(&(DISK_SECTORS - PARTITION_SECTOR).to_le_bytes());
    whole.write_all_at(&entry, 446).expect("written");
    whole.write_all_at(&[0x55, 0xaa], 510).expect("written");
    let offset = format!("offset={}", u64::from(PARTITION_SECTOR) * 512);
    let size = format!("{}K", (DISK_SECTORS - PARTITION_SECTOR) / 2);
    let made = Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-O", "^metadata_csum,^64bit", "-E", &offset, "-d"])
        .arg(&files)
        .arg(&disk)
        .arg(&size)
        .status();
    match made {
        Ok(status) => {
            assert!(status.success(), "mke2fs failed: {status}");
            Some(disk)
        }
        Err(error) => {
            skipped(&format!("U-Boot was not booted: no mke2fs ({error}); apt-get install e2fsprogs"));
            None
        }
    }
}

fn starts_from_the_disk(u_boot: &Path, firmware: &[&str], putchar: fn(u8) -> Vec<u32>, words: &[&str]) {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(disk) = disk(dir.path(), putchar) else { return };
    let (disk, log) = (format!("{},overlay", disk.display()), dir.path().join("log"));
    let (u_boot, log) = (u_boot.to_str().expect("a path"), log.to_str().expect("a path"));
    let mut all = vec!["run", "--kernel", u_boot, "--disk", &disk, "--record", log];
    all.extend(["--max-instructions", "3G"]);
    all.extend(firmware);
    let run = lockstep(&all);
    assert_eq!(run.status.code(), Some(0), "{firmware:?}: {}", said(&run));
    let console = String::from_utf8_lossy(&run.stdout).into_owned();
    for word in words.iter().chain(&["U-Boot 20", "Found /extlinux/extlinux.conf", "started from the disk"]) {
        assert!(console.contains(word), "{firmware:?}: no {word:?} in {}", said(&run));
    }
    let again = lockstep(&["replay", log]);
    assert_eq!(again.status.code(), Some(0), "{firmware:?}: {}", said(&again));
    assert_eq!(again.stdout, run.stdout, "{firmware:?}: the console says the same");
}

fn u_boot(file: &str) -> Option<PathBuf> {
    u_boot_in(U_BOOT, file)
}

fn u_boot_in(package: &str, file: &str) -> Option<PathBuf> {
    let path = Path::new(package).join(file);
    if !path.exists() {
        skipped(
            "U-Boot was not booted: the package u-boot-qemu is not installed (apt-get install u-boot-qemu)",
        );
        return None;
    }
    Some(path)
}

#[test]
fn u_boot_on_the_machines_own_sbi_starts_what_is_on_the_disk() {
    let putchar = |byte: u8| call(DBCN, 2, byte.into(), 0);
    for file in ["u-boot.bin", "uboot.elf"] {
        let Some(u_boot) = u_boot(file) else { return };
        starts_from_the_disk(&u_boot, &[], putchar, &["QEMU VirtIO Block Device"]);
    }
}

#[test]
fn u_boot_on_opensbi_starts_what_is_on_the_disk() {
    let Some(u_boot) = u_boot("u-boot.bin") else { return };
    if !Path::new(OPENSBI).exists() {
        skipped("U-Boot was not booted on OpenSBI: no package opensbi (apt-get install opensbi)");
        return;
    }
    let putchar = |byte: u8| call(LEGACY_PUTCHAR, 0, byte.into(), 0);
    starts_from_the_disk(&u_boot, &["--firmware", OPENSBI], putchar, &["OpenSBI v"]);
}

/// As on QEMU with `-bios`: a firmware needs no kernel.
#[test]
fn u_boot_for_m_mode_is_a_firmware_without_a_kernel() {
    let Some(u_boot) = u_boot_in(U_BOOT_M, "u-boot.bin") else { return };
    let u_boot = u_boot.to_str().expect("a path");
    let run = lockstep(&["run", "--firmware", u_boot, "--max-instructions", "100M"]);
    assert_eq!(run.status.code(), Some(124), "{}", said(&run));
    let console = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(console.contains("U-Boot 20") && console.contains("DRAM:  256 MiB"), "{}", said(&run));
    let refused = lockstep(&["run", "--firmware", u_boot, "--initrd", u_boot]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
}
