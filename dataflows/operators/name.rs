//! The name of one user.
//!
//! A short one stands in its place. One that is long, or has been given out, is shared with all
//! who hold it: of a user of whom nothing is ever told it is held nowhere else.

use std::sync::Arc;

/// So many bytes stand in their place.
const SHORT_BYTES: usize = 14;

/// The name (see the module).
#[derive(Debug, Clone)]
pub enum Name {
    /// A short one, and how long it is.
    Short(u8, [u8; SHORT_BYTES]),
    /// A shared one.
    Shared(Box<Arc<str>>),
}

impl Name {
    /// A name nobody has asked for yet.
    pub fn new(name: Arc<str>) -> Self {
        let mut bytes = [0; SHORT_BYTES];
        match (u8::try_from(name.len()), bytes.get_mut(..name.len())) {
            (Ok(len), Some(into)) => {
                into.copy_from_slice(name.as_bytes());
                Name::Short(len, bytes)
            }
            _ => Name::Shared(Box::new(name)),
        }
    }

    /// As text.
    pub fn text(&self) -> &str {
        match self {
            Name::Short(..) => std::str::from_utf8(self.as_bytes())
                .expect("a short name was a text when it was put here"),
            Name::Shared(name) => name,
        }
    }

    /// The bytes of the text: what is needed to write it, without a look at whether it is one.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Name::Short(len, bytes) => &bytes[..usize::from(*len)],
            Name::Shared(name) => name.as_bytes(),
        }
    }

    /// To be given out: from now on it is shared.
    pub fn share(&mut self) -> Arc<str> {
        match self {
            Name::Shared(name) => Arc::clone(name),
            Name::Short(..) => {
                let name: Arc<str> = self.text().into();
                *self = Name::Shared(Box::new(Arc::clone(&name)));
                name
            }
        }
    }

    /// To be given out, once.
    pub fn give(&self) -> Arc<str> {
        match self {
            Name::Shared(name) => Arc::clone(name),
            Name::Short(..) => self.text().into(),
        }
    }

    /// The bytes it has asked for, beside its own place.
    pub fn bytes(&self) -> usize {
        match self {
            // An `Arc` has two counts in front of the text.
            Name::Shared(name) => size_of::<Arc<str>>() + 2 * size_of::<usize>() + name.len(),
            Name::Short(..) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_it_was_wherever_it_stands() {
        assert_eq!(size_of::<Name>(), 16);
        for text in ["", "u1", "fourteen bytes", "fifteen bytes…", "Zoë", &"x".repeat(300)] {
            let mut name = Name::new(text.into());
            assert_eq!((name.text(), &*name.give()), (text, text));
            assert_eq!(name.as_bytes(), text.as_bytes());
            assert_eq!(name.bytes() == 0, text.len() <= SHORT_BYTES);
            let first = name.share();
            assert!(Arc::ptr_eq(&first, &name.share()) && Arc::ptr_eq(&first, &name.give()));
            assert_eq!((name.text(), &*first), (text, text));
        }
    }
}
