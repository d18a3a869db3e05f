//! What has parameters with names.

use super::Parameter;

/// Something with named parameters: a layer, a block, a network.
///
/// Names are those of PyTorch's state dict: the path of attributes that leads to a parameter, joined with dots.
pub trait Module {
    /// Calls `visit` with the name, which starts with `path`, and the value of each parameter, always in the same order.
    fn each<'a>(&'a self, path: &str, visit: &mut dyn FnMut(String, &'a Parameter));

    /// As [`Module::each`], for writing.
    fn each_mut<'a>(&'a mut self, path: &str, visit: &mut dyn FnMut(String, &'a mut Parameter));
}

impl Module for Parameter {
    fn each<'a>(&'a self, path: &str, visit: &mut dyn FnMut(String, &'a Parameter)) {
        visit(path.to_owned(), self);
    }

    fn each_mut<'a>(&'a mut self, path: &str, visit: &mut dyn FnMut(String, &'a mut Parameter)) {
        visit(path.to_owned(), self);
    }
}

/// A part that may be absent has parameters only where it is present.
impl<M: Module> Module for Option<M> {
    fn each<'a>(&'a self, path: &str, visit: &mut dyn FnMut(String, &'a Parameter)) {
        if let Some(m) = self {
            m.each(path, visit);
        }
    }

    fn each_mut<'a>(&'a mut self, path: &str, visit: &mut dyn FnMut(String, &'a mut Parameter)) {
        if let Some(m) = self {
            m.each_mut(path, visit);
        }
    }
}

/// Parts in a row have their places as names, as in PyTorch's `ModuleList` and `Sequential`.
impl<M: Module> Module for Vec<M> {
    fn each<'a>(&'a self, path: &str, visit: &mut dyn FnMut(String, &'a Parameter)) {
        for (i, m) in self.iter().enumerate() {
            m.each(&join(path, &i.to_string()), visit);
        }
    }

    fn each_mut<'a>(&'a mut self, path: &str, visit: &mut dyn FnMut(String, &'a mut Parameter)) {
        for (i, m) in self.iter_mut().enumerate() {
            m.each_mut(&join(path, &i.to_string()), visit);
        }
    }
}

/// `path` and `name` with a dot between them, or the one of them that is not empty.
pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() || name.is_empty() { format!("{path}{name}") } else { format!("{path}.{name}") }
}

/// Implements [`Module`] for a struct: which field has which name.
macro_rules! module {
    ($t:ty { $($name:literal => $field:ident),* $(,)? }) => {
        impl $crate::layers::Module for $t {
            fn each<'a>(&'a self, path: &str, visit: &mut dyn FnMut(String, &'a $crate::layers::Parameter)) {
                $( $crate::layers::Module::each(&self.$field, &$crate::layers::join(path, $name), visit); )*
            }

            fn each_mut<'a>(
                &'a mut self,
                path: &str,
                visit: &mut dyn FnMut(String, &'a mut $crate::layers::Parameter),
            ) {
                $( $crate::layers::Module::each_mut(&mut self.$field, &$crate::layers::join(path, $name), visit); )*
            }
        }
    };
}
pub(crate) use module;
