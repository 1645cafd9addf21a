//! Which addresses may be reached out to: public ones, and those of networks the operator named.
//!
//! The list is that of the IANA registries of special-purpose addresses; what carries an IPv4 address inside is
//! judged by that one. Of IPv6 only 2000::/3 is given out at all, so everything else is closed without being listed.
//! <https://www.iana.org/assignments/iana-ipv4-special-registry>
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::Network;

/// What may be reached.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Reached although private, and without TLS: a network on the premises.
    pub allow: Vec<Network>,
}

impl Policy {
    /// Whether the operator named the address's network.
    pub fn names(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|it| it.contains(address))
    }

    /// Whether a request may go to the address. Without TLS it stays inside the networks named.
    pub fn permits(&self, address: IpAddr, is_tls: bool) -> bool {
        self.names(address) || (is_tls && is_public(address))
    }
}

/// Whether the address is one of the public internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// First address and length of prefix.
const CLOSED_V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),       // this network
    ([10, 0, 0, 0], 8),      // private
    ([100, 64, 0, 0], 10),   // behind a carrier's NAT
    ([127, 0, 0, 0], 8),     // loopback
    ([169, 254, 0, 0], 16),  // link-local; where clouds keep their credentials
    ([172, 16, 0, 0], 12),   // private
    ([192, 0, 0, 0], 24),    // protocol assignments
    ([192, 0, 2, 0], 24),    // documentation
    ([192, 31, 196, 0], 24), // AS112
    ([192, 52, 193, 0], 24), // AMT
    ([192, 88, 99, 0], 24),  // 6to4 relays
    ([192, 168, 0, 0], 16),  // private
    ([192, 175, 48, 0], 24), // AS112
    ([198, 18, 0, 0], 15),   // benchmarks
    ([198, 51, 100, 0], 24), // documentation
    ([203, 0, 113, 0], 24),  // documentation
    ([224, 0, 0, 0], 4),     // multicast
    ([240, 0, 0, 0], 4),     // reserved, broadcast
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let within = |first: [u8; 4], prefix: u32| {
        let mask = u32::MAX << (32 - prefix);
        address.to_bits() & mask == u32::from_be_bytes(first)
    };
    !CLOSED_V4.iter().any(|(first, prefix)| within(*first, *prefix))
}

/// Inside of 2000::/3: first two groups and length of prefix, at most 32.
const CLOSED_V6: &[([u16; 2], u32)] = &[
    ([0x2001, 0x0000], 23), // protocol assignments: Teredo, benchmarks, ORCHID
    ([0x2001, 0x0db8], 32), // documentation
    ([0x2002, 0x0000], 16), // 6to4: carries any IPv4 address, and nobody offers it any more
    ([0x3fff, 0x0000], 20), // documentation
];

fn is_public_v6(address: Ipv6Addr) -> bool {
    let groups = address.segments();
    let embedded = || {
        let [.., a, b, c, d] = address.octets();
        Ipv4Addr::new(a, b, c, d)
    };
    match groups {
        [0, 0, 0, 0, 0, 0xffff, ..] => return is_public_v4(embedded()), // IPv4-mapped
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => return is_public_v4(embedded()), // NAT64
        _ => {}
    }
    let first = u32::from(groups[0]) << 16 | u32::from(groups[1]);
    let within = |prefix: u32, of: [u16; 2]| {
        let mask = u32::MAX << (32 - prefix);
        first & mask == (u32::from(of[0]) << 16 | u32::from(of[1]))
    };
    // ISATAP: an IPv4 address as the last part of any prefix.
    let isatap = groups[4] & 0xfdff == 0 && groups[5] == 0x5efe && !is_public_v4(embedded());
    within(3, [0x2000, 0]) && !CLOSED_V6.iter().any(|(of, prefix)| within(*prefix, *of)) && !isatap
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(text: &str) -> bool {
        is_public(text.parse().unwrap())
    }

    #[test]
    fn the_first_and_the_last_address_of_every_closed_range_are_closed_and_their_neighbours_are_not() {
        // first, last → whether the one before and the one behind are public
        for (first, last, before, behind) in [
            ("0.0.0.0", "0.255.255.255", None, Some("1.0.0.0")),
            ("10.0.0.0", "10.255.255.255", Some("9.255.255.255"), Some("11.0.0.0")),
            ("100.64.0.0", "100.127.255.255", Some("100.63.255.255"), Some("100.128.0.0")),
            ("127.0.0.0", "127.255.255.255", Some("126.255.255.255"), Some("128.0.0.0")),
            ("169.254.0.0", "169.254.255.255", Some("169.253.255.255"), Some("169.255.0.0")),
            ("172.16.0.0", "172.31.255.255", Some("172.15.255.255"), Some("172.32.0.0")),
            ("192.0.0.0", "192.0.0.255", Some("191.255.255.255"), Some("192.0.1.0")),
            ("192.0.2.0", "192.0.2.255", Some("192.0.1.255"), Some("192.0.3.0")),
            ("192.88.99.0", "192.88.99.255", Some("192.88.98.255"), Some("192.88.100.0")),
            ("192.168.0.0", "192.168.255.255", Some("192.167.255.255"), Some("192.169.0.0")),
            ("198.18.0.0", "198.19.255.255", Some("198.17.255.255"), Some("198.20.0.0")),
            ("198.51.100.0", "198.51.100.255", Some("198.51.99.255"), Some("198.51.101.0")),
            ("203.0.113.0", "203.0.113.255", Some("203.0.112.255"), Some("203.0.114.0")),
            ("224.0.0.0", "255.255.255.255", Some("223.255.255.255"), None),
            ("::", "1fff:ffff::", None, Some("2000::1")),
            ("2001::", "2001:1ff:ffff::", Some("2000:ffff::"), Some("2001:200::")),
            ("2001:db8::", "2001:db8:ffff::", Some("2001:db7::"), Some("2001:db9::")),
            ("2002::", "2002:ffff::", Some("2001:ffff::"), Some("2003::")),
            ("3fff::", "3fff:fff::", Some("3ffe::"), Some("3fff:1000::")),
            ("4000::", "ffff:ffff::", Some("3fff:ffff::"), None),
        ] {
            assert!(!public(first) && !public(last), "{first} to {last}");
            for neighbour in [before, behind].into_iter().flatten() {
                assert!(public(neighbour), "{neighbour}");
            }
        }
    }

    #[test]
    fn an_address_inside_an_address_counts() {
        for (text, wanted) in [
            ("::ffff:127.0.0.1", false),
            ("::ffff:10.1.2.3", false),
            ("::ffff:169.254.169.254", false),
            ("::ffff:8.8.8.8", true),
            ("::127.0.0.1", false),
            ("::ffff:0:127.0.0.1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b::a9fe:a9fe", false),
            ("64:ff9b::808:808", true),
            ("64:ff9b:1::808:808", false),
            ("2002:7f00:1::", false),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", false),
            ("2a00:1450::5efe:10.0.0.1", false),
            ("2a00:1450::200:5efe:192.168.0.1", false),
            ("2a00:1450::5efe:8.8.8.8", true),
            ("2a00:1450:4001:82b::200e", true),
            ("::1", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("fd00::1", false),
            ("fc00::1", false),
            ("ff02::1", false),
            ("100::1", false),
            ("5f00::1", false),
        ] {
            assert_eq!(public(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_named_network_is_reached_and_only_it_without_tls() {
        let policy = Policy { allow: vec!["10.1.0.0/16".parse().unwrap()] };
        for (address, tls, permitted) in [
            ("10.1.2.3", true, true),
            ("10.1.2.3", false, true),
            ("::ffff:10.1.2.3", false, true),
            ("10.2.0.1", true, false),
            ("8.8.8.8", true, true),
            ("8.8.8.8", false, false),
        ] {
            assert_eq!(policy.permits(address.parse().unwrap(), tls), permitted, "{address} tls {tls}");
        }
    }
}
