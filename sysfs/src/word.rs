//! Words of the kernel's vocabulary (`live`, `tcp`, `optimized`) as enums.
//!
//! Invariant: every word survives the way through its enum unchanged, also one that a newer kernel invents.

/// Declares an enum of kernel words. A word that is not listed becomes `Other` and is kept as it was.
///
/// A macro because nine enums need the same table read in both directions, and a function cannot declare an enum.
macro_rules! kernel_word {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
            /// A word that this library does not know, as the kernel wrote it.
            Other(String),
        }

        impl $name {
            /// Every word that has a variant of its own.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The kernel's word.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use kernel_word;

#[cfg(test)]
mod tests {
    use crate::{
        Action, AnaState, ControllerState, ControllerType, DiscoveryType, IoPolicy, SubsystemType,
        TlsMode, Transport,
    };

    fn round_trip<T: for<'a> From<&'a str> + ToString + std::fmt::Debug>(words: &[&str]) {
        for word in words {
            let parsed = T::from(word);
            assert_eq!(parsed.to_string(), *word);
            assert!(
                !format!("{parsed:?}").starts_with("Other"),
                "{word} has a variant"
            );
        }
        for unknown in ["", "Live", "live ", "quantum-entangled"] {
            let parsed = T::from(unknown);
            assert_eq!(parsed.to_string(), unknown);
            assert!(
                format!("{parsed:?}").starts_with("Other"),
                "{unknown} is nobody's word"
            );
        }
    }

    #[test]
    fn every_kernel_word_survives_a_round_trip_and_unknown_ones_become_other() {
        round_trip::<Action>(Action::WORDS);
        round_trip::<AnaState>(AnaState::WORDS);
        round_trip::<ControllerState>(ControllerState::WORDS);
        round_trip::<ControllerType>(ControllerType::WORDS);
        round_trip::<DiscoveryType>(DiscoveryType::WORDS);
        round_trip::<IoPolicy>(IoPolicy::WORDS);
        round_trip::<SubsystemType>(SubsystemType::WORDS);
        round_trip::<TlsMode>(TlsMode::WORDS);
        round_trip::<Transport>(Transport::WORDS);
    }
}
