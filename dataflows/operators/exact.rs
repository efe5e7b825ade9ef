//! A short list that has room for what is in it and no more.
//!
//! Of the lists a user has most never change their length again: how long they are stands beside
//! where they are, and no room is kept for more. Cost: all of it is moved to take something in.

use std::ops::{Deref, DerefMut};

/// The list (see the module).
#[derive(Debug)]
pub struct Exact<T>(Box<[T]>);

impl<T> Default for Exact<T> {
    fn default() -> Self {
        Exact(Box::default())
    }
}

impl<T> Exact<T> {
    /// Puts something in before what stands at a place.
    pub fn insert(&mut self, place: usize, item: T) {
        self.edit(|list| {
            list.reserve_exact(1);
            list.insert(place, item);
        });
    }

    /// Keeps what is to be kept.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.edit(|list| list.retain(keep));
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        *self = Exact::default();
    }

    fn edit(&mut self, edit: impl FnOnce(&mut Vec<T>)) {
        let mut list = std::mem::take(&mut self.0).into_vec();
        edit(&mut list);
        self.0 = list.into_boxed_slice();
    }

    /// What it has asked for, in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}

impl<T> Deref for Exact<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Exact<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<'a, T> IntoIterator for &'a Exact<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_as_much_as_is_in_it() {
        let mut list = Exact::default();
        for number in [1_u32, 3, 2] {
            let place = list.partition_point(|it| *it < number);
            list.insert(place, number);
        }
        assert_eq!((&*list, list.bytes()), (&[1, 2, 3][..], 12));
        list.retain(|it| *it != 2);
        assert_eq!((&*list, list.bytes()), (&[1, 3][..], 8));
        list.clear();
        assert_eq!((list.len(), list.bytes()), (0, 0));
    }
}
