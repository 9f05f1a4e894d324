//! The device tree, read back as a kernel would.

use std::collections::BTreeMap;

use super::*;
use crate::machine::config::MAC_DEFAULT;

fn config() -> MachineConfig {
    MachineConfig { guest: "g".into(), ram_bytes: 64 << 20, mac: MAC_DEFAULT, ..MachineConfig::default() }
}

/// "/path" to property to bytes.
type Tree = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn text(bytes: &[u8], at: usize) -> String {
    let end = bytes[at..].iter().position(|&b| b == 0).unwrap();
    String::from_utf8(bytes[at..at + end].to_vec()).unwrap()
}

/// Reads a flattened device tree (specification 0.4, chapter 5).
fn parse(blob: &[u8]) -> Tree {
    assert_eq!(be32(blob, 0), 0xd00d_feed);
    assert_eq!(be32(blob, 4) as usize, blob.len());
    assert_eq!(be32(blob, 20), 17, "version");
    let (mut at, strings) = (be32(blob, 8) as usize, be32(blob, 12) as usize);
    let mut path: Vec<String> = Vec::new();
    let mut tree = Tree::new();
    loop {
        let token = be32(blob, at);
        at += 4;
        match token {
            1 => {
                let name = text(blob, at);
                at += (name.len() + 4) & !3;
                path.push(name);
                tree.insert(path.join("/"), BTreeMap::new());
            }
            2 => {
                path.pop().expect("a node to end");
            }
            3 => {
                let (len, name) = (be32(blob, at) as usize, strings + be32(blob, at + 4) as usize);
                let value = blob[at + 8..at + 8 + len].to_vec();
                tree.get_mut(&path.join("/")).unwrap().insert(text(blob, name), value);
                at += 8 + ((len + 3) & !3);
            }
            9 => break,
            other => panic!("token {other}"),
        }
    }
    assert!(path.is_empty());
    tree
}

fn cells(value: &[u8]) -> Vec<u32> {
    value.chunks(4).map(|c| be32(c, 0)).collect()
}

#[test]
fn a_kernel_finds_memory_time_and_the_isa() {
    let tree = parse(&build(&config()).unwrap());
    assert_eq!(cells(&tree["/memory@80000000"]["reg"]), [0, 0x8000_0000, 0, 64 << 20]);
    assert_eq!(cells(&tree["/cpus"]["timebase-frequency"]), [10_000_000]);
    let cpu = &tree["/cpus/cpu@0"];
    assert_eq!(
        text(&cpu["riscv,isa"], 0),
        "rv64imafdc_zicbom_zicboz_zicntr_zicond_zicsr_zifencei_zfa_zfhmin_zca_zcb_zcd_zba_zbb_zbs_zkr_sstc_svade"
    );
    assert_eq!(text(&cpu["mmu-type"], 0), "riscv,sv39");
    assert_eq!(cells(&cpu["reg"]), [0]);
    let extensions = String::from_utf8(cpu["riscv,isa-extensions"].clone()).unwrap();
    let long = format!("rv64{}", extensions.split_terminator('\0').collect::<Vec<_>>().join("_"));
    let short = long.replace("i_m_a_f_d_c", "imafdc");
    assert_eq!(short, text(&cpu["riscv,isa"], 0), "both spellings say the same");
    let under_firmware = MachineConfig { platform: Platform::Firmware, ..config() };
    let tree = parse(&build(&under_firmware).unwrap());
    assert_eq!(
        text(&tree["/cpus/cpu@0"]["riscv,isa"], 0),
        "rv64imafdc_zicbom_zicboz_zicntr_zicond_zicsr_zifencei_zfa_zfhmin_zca_zcb_zcd_zba_zbb_zbs_sstc_svade"
    );
}

#[test]
fn a_kernel_is_told_of_the_hart_that_was_chosen() {
    let told = |cpu: Cpu| {
        let tree = parse(&build(&MachineConfig { cpu, ..config() }).unwrap());
        let cpu = tree["/cpus/cpu@0"].clone();
        let block = |name| cpu.get(name).map(|value| cells(value));
        (text(&cpu["riscv,isa"], 0), block("riscv,cbom-block-size"), block("riscv,cboz-block-size"))
    };
    let cpu = |text: &str| text.parse().unwrap();
    let (isa, cbom, cboz) = told(cpu("rv64,svadu=on,zicbom=off"));
    assert_eq!(
        isa,
        "rv64imafdc_zicboz_zicntr_zicond_zicsr_zifencei_zfa_zfhmin_zca_zcb_zcd_zba_zbb_zbs_zkr_sstc_svadu"
    );
    assert_eq!((cbom, cboz), (None, Some(vec![64])));
    let (isa, cbom, cboz) = told(cpu("rv64,zicboz=off"));
    assert_eq!(
        isa,
        "rv64imafdc_zicbom_zicntr_zicond_zicsr_zifencei_zfa_zfhmin_zca_zcb_zcd_zba_zbb_zbs_zkr_sstc_svade"
    );
    assert_eq!((cbom, cboz), (Some(vec![64]), None));
    let (isa, ..) = told(cpu("rv64gc"));
    assert_eq!(isa, "rv64imafdc_zicbom_zicboz_zicntr_zicsr_zifencei_zkr_sstc_svade");
    // A guest of an old recording that starts over finds what it found.
    assert_eq!(told(Cpu::FIRST), ("rv64imafdc_zicsr_zifencei_zicntr_sstc_zkr".into(), None, None));
}

#[test]
fn every_device_is_where_the_map_says() {
    let tree = parse(&build(&config()).unwrap());
    let place = |path: &str, region: Region| {
        let reg = cells(&tree[path]["reg"]);
        assert_eq!(reg, [0, region.base.get() as u32, 0, region.size as u32], "{path}");
    };
    place("/soc/test@100000", map::FINISHER);
    place("/soc/clint@2000000", map::CLINT);
    place("/soc/plic@c000000", map::PLIC);
    place("/soc/serial@10000000", map::UART);
    for slot in 0..8 {
        let path = format!("/soc/virtio_mmio@1000{}000", slot + 1);
        place(&path, Region { base: GuestPhys(0x1000_1000 + 0x1000 * slot), size: 0x1000 });
        assert_eq!(cells(&tree[&path]["interrupts"]), [1 + slot as u32]);
    }
    assert_eq!(cells(&tree["/soc/serial@10000000"]["interrupts"]), [10]);
    assert_eq!(text(&tree["/chosen"]["stdout-path"], 0), "/soc/serial@10000000");
}

#[test]
fn handles_lead_to_the_nodes_they_mean() {
    let tree = parse(&build(&config()).unwrap());
    let handle = |path: &str| cells(&tree[path]["phandle"])[0];
    let hart = handle("/cpus/cpu@0/interrupt-controller");
    let plic = handle("/soc/plic@c000000");
    assert_eq!(cells(&tree["/soc/clint@2000000"]["interrupts-extended"]), [hart, 3, hart, 7]);
    assert_eq!(cells(&tree["/soc/plic@c000000"]["interrupts-extended"]), [hart, 11, hart, 9]);
    assert_eq!(cells(&tree["/soc/serial@10000000"]["interrupt-parent"]), [plic]);
    for (switch, value) in [("/poweroff", 0x5555), ("/reboot", 0x7777)] {
        assert_eq!(cells(&tree[switch]["regmap"]), [handle("/soc/test@100000")]);
        assert_eq!(cells(&tree[switch]["value"]), [value]);
    }
    assert!(tree["/soc/plic@c000000"].contains_key("interrupt-controller"));
}

#[test]
fn arguments_and_seed_are_there_only_when_given() {
    let bare = parse(&build(&config()).unwrap());
    assert!(!bare["/chosen"].contains_key("bootargs") && !bare["/chosen"].contains_key("rng-seed"));
    let given = MachineConfig { bootargs: "console=ttyS0".into(), rng_seed: vec![7; 32], ..config() };
    let tree = parse(&build(&given).unwrap());
    assert_eq!(text(&tree["/chosen"]["bootargs"], 0), "console=ttyS0");
    assert_eq!(tree["/chosen"]["rng-seed"], [7; 32]);
}

#[test]
fn whatever_the_command_line_holds_the_tree_holds_it_or_is_refused() {
    let mut prng = crate::base::Prng::new(5);
    let alphabet: Vec<char> = "a =\n\t\u{1b}\"\\/{};&\u{e4}\u{1f600}\0".chars().collect();
    for _ in 0..500 {
        let len = prng.below(80);
        let bootargs: String =
            (0..len).map(|_| alphabet[prng.below(alphabet.len() as u64) as usize]).collect();
        let mut rng_seed = vec![0; prng.below(100) as usize];
        prng.fill(&mut rng_seed);
        let initrd = prng.chance(1, 2).then(|| (GuestPhys(prng.next_u64()), GuestPhys(prng.next_u64())));
        let config =
            MachineConfig { bootargs: bootargs.clone(), rng_seed: rng_seed.clone(), initrd, ..config() };
        match build(&config) {
            Ok(blob) => {
                let chosen = &parse(&blob)["/chosen"];
                let held = chosen.get("bootargs").map_or(String::new(), |bytes| text(bytes, 0));
                assert_eq!(held, bootargs);
                assert_eq!(chosen.get("rng-seed").cloned().unwrap_or_default(), rng_seed);
            }
            Err(_) => assert!(bootargs.contains('\0'), "{bootargs:?}"),
        }
    }
}
