//! The two types computed in, f32 and f64: what there is for the one or the other is told apart here.

use chainrule_kernels::Float;
use numpy::Element;

/// Something made for a type of numbers, such as a `Trainer<T>`, named without the type.
pub(crate) trait Made {
    /// It, with the type.
    type For<T: Float>;
}

/// One of those, for either type.
pub(crate) enum Either<M: Made> {
    Single(M::For<f32>),
    Double(M::For<f64>),
}

/// A type computed in.
pub(crate) trait Dtype: Float + Element {
    /// What is made for this type, if it is for this one.
    fn get<M: Made>(either: &Either<M>) -> Option<&M::For<Self>>;
    /// The same, to be changed.
    fn get_mut<M: Made>(either: &mut Either<M>) -> Option<&mut M::For<Self>>;
    /// Made for this type.
    fn either<M: Made>(made: M::For<Self>) -> Either<M>;
    /// What is for this type of the two.
    fn choose<'a, M: Made>(single: &'a M::For<f32>, double: &'a M::For<f64>) -> &'a M::For<Self>;
}

macro_rules! dtype {
    ($t:ty, $which:ident, ($single:ident, $double:ident) => $chosen:ident) => {
        impl Dtype for $t {
            fn get<M: Made>(either: &Either<M>) -> Option<&M::For<Self>> {
                match either {
                    Either::$which(made) => Some(made),
                    _ => None,
                }
            }
            fn get_mut<M: Made>(either: &mut Either<M>) -> Option<&mut M::For<Self>> {
                match either {
                    Either::$which(made) => Some(made),
                    _ => None,
                }
            }
            fn either<M: Made>(made: M::For<Self>) -> Either<M> {
                Either::$which(made)
            }
            fn choose<'a, M: Made>($single: &'a M::For<f32>, $double: &'a M::For<f64>) -> &'a M::For<Self> {
                $chosen
            }
        }
    };
}
dtype!(f32, Single, (single, _double) => single);
dtype!(f64, Double, (_single, double) => double);

/// The body, with what is made for the type in hand, and the type named standing for it.
macro_rules! either {
    ($either:expr, $T:ident, $made:pat => $body:expr) => {
        match $either {
            $crate::dtype::Either::Single($made) => {
                #[allow(dead_code)]
                type $T = f32;
                $body
            }
            $crate::dtype::Either::Double($made) => {
                #[allow(dead_code)]
                type $T = f64;
                $body
            }
        }
    };
}
pub(crate) use either;
