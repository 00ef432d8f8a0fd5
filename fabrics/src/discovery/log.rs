//! The discovery log page (LID 70h) as bytes: a header of 1024, then 1024 for each entry.
//!
//! Source: NVMe Base Specification, Discovery Log Page. Everything here comes from the network: numbers are
//! bounded, strings end at their field, and an entry that makes no sense is reported beside the
//! others instead of hiding them.

use nvme_sysfs::Transport;

use super::entry::{
    AddressFamily, ControllerId, DiscoveryEntry, EntryFlags, SecureChannel, Subtype, TcpSecurity,
};

/// Bytes of the header that mean something: genctr, numrec and recfmt.
pub(crate) const HEADER_LEN: usize = 20;

/// Bytes of one entry, and of the header as it stands before the first.
pub(crate) const ENTRY_LEN: usize = 1024;

/// The header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiscoveryHeader {
    /// Changes whenever the log does.
    pub genctr: u64,
    /// Number of entries.
    pub numrec: u64,
}

/// Why the header cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer bytes than the header has.
    #[error("discovery log header has {len} bytes: {HEADER_LEN} are wanted")]
    Truncated {
        /// How many.
        len: usize,
    },
    /// Another format than 0, the only one defined.
    #[error("discovery log has the record format {recfmt}: only 0 is known")]
    Format {
        /// What the header says.
        recfmt: u16,
    },
}

/// An entry that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {index} of the discovery log: {reason}")]
pub struct MalformedEntry {
    /// Its position, from 0.
    pub index: usize,
    /// What is wrong.
    pub reason: String,
}

impl DiscoveryHeader {
    /// Reads the header.
    ///
    /// # Errors
    /// It is cut short, or of another format.
    pub fn decode(bytes: &[u8]) -> Result<DiscoveryHeader, HeaderError> {
        let truncated = || HeaderError::Truncated { len: bytes.len() };
        let genctr = u64::from_le_bytes(array(bytes, 0).ok_or_else(truncated)?);
        let numrec = u64::from_le_bytes(array(bytes, 8).ok_or_else(truncated)?);
        let recfmt = u16::from_le_bytes(array(bytes, 16).ok_or_else(truncated)?);
        if recfmt != 0 {
            return Err(HeaderError::Format { recfmt });
        }
        Ok(DiscoveryHeader { genctr, numrec })
    }
}

impl DiscoveryEntry {
    /// Reads one entry. `index` is for the error alone.
    ///
    /// # Errors
    /// It is cut short, has no valid NQN, or an address with unprintable characters.
    pub fn decode(index: usize, bytes: &[u8]) -> Result<DiscoveryEntry, MalformedEntry> {
        let malformed = |reason: String| MalformedEntry { index, reason };
        let Some(bytes) = bytes.first_chunk::<ENTRY_LEN>() else {
            return Err(malformed(format!("has {} bytes", bytes.len())));
        };
        let text = |name: &str, start: usize, len: usize| {
            printable(&bytes[start..start + len])
                .ok_or_else(|| malformed(format!("{name} is not printable ASCII")))
        };
        let subnqn = text("subnqn", 256, 256)?;
        let subnqn = subnqn
            .parse()
            .map_err(|error| malformed(format!("subnqn: {error}")))?;
        let transport = transport(bytes[0]);
        let mut traddr = text("traddr", 512, 256)?;
        if transport == Transport::Fc {
            traddr = traddr.replace(',', ":");
        }
        let number = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        Ok(DiscoveryEntry {
            address_family: address_family(bytes[1]),
            subtype: subtype(bytes[2]),
            secure_channel: secure_channel(bytes[3]),
            disable_sqflow: bytes[3] & 0b100 != 0,
            portid: number(4),
            cntlid: controller_id(number(6)),
            asqsz: number(8),
            eflags: EntryFlags::from_bits_retain(number(10)),
            subnqn,
            traddr,
            trsvcid: text("trsvcid", 32, 32)?,
            sectype: (transport == Transport::Tcp).then(|| tcp_security(bytes[768])),
            transport,
        })
    }
}

/// The `N` bytes at `start`.
fn array<const N: usize>(bytes: &[u8], start: usize) -> Option<[u8; N]> {
    bytes.get(start..start + N)?.try_into().ok()
}

/// Text that ends at the first NUL or at the end of its field, without the blanks that pad it.
fn printable(field: &[u8]) -> Option<String> {
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = text.trim_ascii();
    let is_plain = text.iter().all(u8::is_ascii_graphic);
    is_plain.then(|| text.iter().copied().map(char::from).collect())
}

fn transport(trtype: u8) -> Transport {
    match trtype {
        1 => Transport::Rdma,
        2 => Transport::Fc,
        3 => Transport::Tcp,
        254 => Transport::Loop,
        other => Transport::Other(other.to_string()),
    }
}

fn address_family(adrfam: u8) -> AddressFamily {
    match adrfam {
        0 => AddressFamily::Pci,
        1 => AddressFamily::Ipv4,
        2 => AddressFamily::Ipv6,
        3 => AddressFamily::InfiniBand,
        4 => AddressFamily::FibreChannel,
        254 => AddressFamily::Loop,
        other => AddressFamily::Other(other),
    }
}

fn subtype(subtype: u8) -> Subtype {
    match subtype {
        1 => Subtype::Referral,
        2 => Subtype::Nvm,
        3 => Subtype::CurrentDiscovery,
        other => Subtype::Other(other),
    }
}

fn secure_channel(treq: u8) -> SecureChannel {
    match treq & 0b11 {
        0 => SecureChannel::NotSpecified,
        1 => SecureChannel::Required,
        2 => SecureChannel::NotRequired,
        _ => SecureChannel::Reserved,
    }
}

fn controller_id(cntlid: u16) -> ControllerId {
    match cntlid {
        0xffff => ControllerId::Dynamic,
        0xfffe => ControllerId::Static,
        other => ControllerId::Fixed(other),
    }
}

fn tcp_security(sectype: u8) -> TcpSecurity {
    match sectype {
        0 => TcpSecurity::None,
        1 => TcpSecurity::Tls12,
        2 => TcpSecurity::Tls13,
        other => TcpSecurity::Other(other),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::fixture;

    /// The bytes of an entry for `nqn` at `traddr`, otherwise as nvmet writes them.
    pub(crate) fn entry(subtype: u8, nqn: &str, traddr: &str) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        bytes[0..4].copy_from_slice(&[3, 1, subtype, 0]);
        bytes[4..6].copy_from_slice(&7u16.to_le_bytes());
        bytes[6..8].copy_from_slice(&0xffffu16.to_le_bytes());
        bytes[8..10].copy_from_slice(&32u16.to_le_bytes());
        put(&mut bytes, 32, "4420");
        put(&mut bytes, 256, nqn);
        put(&mut bytes, 512, traddr);
        bytes
    }

    fn put(bytes: &mut [u8; ENTRY_LEN], start: usize, text: &str) {
        bytes[start..start + text.len()].copy_from_slice(text.as_bytes());
    }

    #[test]
    fn an_entry_is_read_field_by_field() {
        let mut bytes = entry(2, fixture::VOLUME, "192.0.2.9");
        bytes[3] = 0b110;
        bytes[10] = 0b11;
        bytes[768] = 2;
        let entry = DiscoveryEntry::decode(0, &bytes).expect("an entry");
        let expected = DiscoveryEntry {
            transport: Transport::Tcp,
            address_family: AddressFamily::Ipv4,
            subtype: Subtype::Nvm,
            secure_channel: SecureChannel::NotRequired,
            disable_sqflow: true,
            portid: 7,
            cntlid: ControllerId::Dynamic,
            asqsz: 32,
            eflags: EntryFlags::DUPRETINFO | EntryFlags::EPCSD,
            subnqn: fixture::volume(),
            traddr: "192.0.2.9".to_owned(),
            trsvcid: "4420".to_owned(),
            sectype: Some(TcpSecurity::Tls13),
        };
        assert_eq!(entry, expected);
    }

    #[test]
    fn each_kernels_own_log_is_read_to_the_last_entry() {
        for suite in ["bookworm", "trixie", "sid"] {
            let path = format!("../fixtures/discovery/{suite}-one-subsystem-one-referral.bin");
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
            let log = fs::read(path).expect(suite);
            let header = DiscoveryHeader::decode(&log).expect(suite);
            let entries: Vec<_> = log[ENTRY_LEN..]
                .chunks(ENTRY_LEN)
                .take(usize::try_from(header.numrec).expect("a small log"))
                .enumerate()
                .map(|(index, bytes)| DiscoveryEntry::decode(index, bytes).expect(suite))
                .collect();
            let found: BTreeSet<_> = entries
                .iter()
                .map(|entry| (entry.subnqn.as_str(), &entry.traddr[..], &entry.trsvcid[..]))
                .collect();
            let volume = (fixture::VOLUME, "10.0.0.2", "4421");
            assert!(found.contains(&volume), "{suite}: {found:?}");
            let referral = entries
                .iter()
                .find(|entry| entry.subtype == Subtype::Referral)
                .expect("the referral");
            assert!(referral.subnqn.is_discovery(), "{suite}");
            assert_eq!(
                (&referral.traddr[..], &referral.trsvcid[..]),
                ("10.0.0.3", "8009")
            );
        }
    }

    #[test]
    fn padding_is_blanks_or_nuls_and_a_full_field_needs_no_end() {
        let mut bytes = entry(2, fixture::VOLUME, "192.0.2.9   ");
        bytes[32..64].fill(b'4');
        bytes[700] = b'x';
        let entry = DiscoveryEntry::decode(0, &bytes).expect("an entry");
        assert_eq!(entry.traddr, "192.0.2.9");
        assert_eq!(entry.trsvcid, "4".repeat(32));
    }

    #[test]
    fn fibre_channel_names_get_their_colon() {
        let mut bytes = entry(2, fixture::VOLUME, "nn-0x1,pn-0x2");
        bytes[0] = 2;
        let entry = DiscoveryEntry::decode(0, &bytes).expect("an entry");
        assert_eq!((entry.transport, entry.sectype), (Transport::Fc, None));
        assert_eq!(entry.traddr, "nn-0x1:pn-0x2");
    }

    #[test]
    fn unknown_numbers_are_kept() {
        let mut bytes = entry(9, fixture::VOLUME, "x");
        bytes[0] = 77;
        bytes[1] = 78;
        bytes[3] = 0b11;
        bytes[6..8].copy_from_slice(&5u16.to_le_bytes());
        let entry = DiscoveryEntry::decode(0, &bytes).expect("an entry");
        assert_eq!(entry.transport, Transport::Other("77".to_owned()));
        assert_eq!(entry.address_family, AddressFamily::Other(78));
        assert_eq!(entry.subtype, Subtype::Other(9));
        assert_eq!(entry.secure_channel, SecureChannel::Reserved);
        assert_eq!(entry.cntlid, ControllerId::Fixed(5));
    }

    #[test]
    fn nonsense_is_told_with_its_position() {
        let decode = |bytes: &[u8]| {
            let malformed = DiscoveryEntry::decode(3, bytes).expect_err("nonsense");
            malformed.to_string()
        };
        let start = "entry 3 of the discovery log: ";
        assert_eq!(decode(&[0; 20]), format!("{start}has 20 bytes"));
        assert!(decode(&[0; ENTRY_LEN]).starts_with(&format!("{start}subnqn: ")));
        let traddr = decode(&entry(2, fixture::VOLUME, "192.0.2.9\x1b[2J"));
        assert_eq!(traddr, format!("{start}traddr is not printable ASCII"));
        let subnqn = decode(&entry(2, "nqn.2024-01.a:b\nc", "192.0.2.9"));
        assert_eq!(subnqn, format!("{start}subnqn is not printable ASCII"));
        assert!(decode(&entry(2, "a,b", "192.0.2.9")).starts_with(start));
    }

    #[test]
    fn a_header_is_little_endian_and_of_format_0() {
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = 5;
        bytes[9] = 1;
        let header = DiscoveryHeader::decode(&bytes).expect("a header");
        assert_eq!((header.genctr, header.numrec), (5, 256));
        bytes[16] = 1;
        assert_eq!(
            DiscoveryHeader::decode(&bytes),
            Err(HeaderError::Format { recfmt: 1 })
        );
        let truncated = DiscoveryHeader::decode(&bytes[..17]);
        assert_eq!(truncated, Err(HeaderError::Truncated { len: 17 }));
    }
}
