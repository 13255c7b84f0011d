//! How a registry of numbers is written down: a type of its own, a constant and a name per entry.

macro_rules! registry {
    (
        $(#[$meta:meta])*
        $name:ident;
        $( $(#[$constant_meta:meta])* $constant:ident = $value:literal, $text:literal; )*
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u8);

        impl $name {
            $(
                #[doc = concat!($value, ": ", $text, ".")]
                $(#[$constant_meta])*
                pub const $constant: Self = Self($value);
            )*

            /// What the registry calls this value, if it has it.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $( $value => Some($text), )*
                    _ => None,
                }
            }
        }

        /// The number, followed by its name where it has one.
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => write!(f, "{} ({name})", self.0),
                    None => write!(f, "{}", self.0),
                }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

pub(crate) use registry;
