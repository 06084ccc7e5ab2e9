"""How kernels are compiled: what a kernel calls is linked into it first, and then all of it is optimised, once.

Numba compiles each function that a function calls as if it were called from Python too: it wraps it, optimises it and
makes machine code of it, and then optimises it again inside each of its callers. The event loop is 200 functions ten
calls deep, and that was more than half of its compile time. Here a callee is typed and lowered, no more; LLVM sees it
only as a part of what is called from Python, with the same arithmetic in the same order. Nor is it linked into its
callers, and with them into theirs: the kernel links all that there is below it, each once.

This leans on classes of numba's that it does not document (dispatcher, compiler, code library). All of that is here.
"""

# mypy: disallow-untyped-calls=False
# Numba has no types of its own.

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable
from typing import Any

from llvmlite.binding import parse_assembly
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager
from numba.core.registry import CPUDispatcher
from numba.core.typed_passes import (
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonRewrites,
    NoPythonSupportedFeatureValidation,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.types import Dispatcher, unliteral
from numba.core.untyped_passes import (
    FixupArgs,
    GenericRewrites,
    IRProcessing,
    ReconstructSSA,
    RewriteSemanticConstants,
    TranslateByteCode,
)

COLLECTED_AFTER = (20_000, 10, 30)
"""New objects, and collections of the generation below: Python's own are (700, 10, 10) up to 3.13. It costs 15 MB."""
PASSES = (
    TranslateByteCode,
    FixupArgs,
    IRProcessing,
    RewriteSemanticConstants,
    GenericRewrites,
    ReconstructSSA,
    NopythonTypeInference,
    PreLowerStripPhis,
    NopythonRewrites,
    NoPythonSupportedFeatureValidation,
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
)


class _Linkable(JITCodeLibrary):
    """The code of a callee, without what it calls: to be linked into kernels, not to be run."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def finalize(self) -> None:
        """Nothing is added any more. Numba would link in what this calls, and all of it into each caller again."""
        self._raise_if_finalized()
        self._shared_module = self._final_module
        self._finalized = True


class _Whole(JITCodeLibrary):
    """The code of a kernel that Python calls, and of all that it calls.

    Nobody else calls the latter, and LLVM is told so. Else every call hands over all that its signature says (the
    shard's state is some 500 words), needed or not, and what is called once is not inlined. It then has other arguments
    than its signature says, so it gets a name of its own: LLVM's linker takes a function that it knows for any other of
    that name.
    """

    def finalize(self) -> None:
        """Link in all that it calls, each once, and make machine code of it."""
        self._linking_libraries = _called_by(self)
        super().finalize()

    def _optimize_final_module(self) -> None:
        linked = {
            function.name
            for library in self._linking_libraries
            for function in library._get_module_for_linking().functions
            if not function.is_declaration
        }
        defined = [function for function in self._final_module.functions if not function.is_declaration]
        entry = next(function.name for function in defined if function.name not in linked)
        suffix = hashlib.sha256(entry.encode()).hexdigest()[:12]
        for function in defined:
            if function.name in linked:
                function.linkage = "internal"
                function.name = f"{function.name}.{suffix}"
        passes, builder = self._codegen._module_pass_manager()
        passes.run(self._final_module, builder)

    def _get_module_for_linking(self) -> Any:
        """Only names: it is kept beside the machine code, and nobody links it (kernels link the callee)."""
        self._ensure_finalized()
        named = [f for f in self._final_module.functions if not f.is_declaration and f.linkage.name != "internal"]
        stubs = "".join(f'define void @"{function.name}"() {{ ret void }}\n' for function in named)
        return parse_assembly(str(self._codegen._create_empty_module(self.name)) + stubs)


def _called_by(library: JITCodeLibrary) -> list[JITCodeLibrary]:
    """What ``library`` calls, and that calls, and so on: callers first, since LLVM links in only what it has met."""
    found: dict[JITCodeLibrary, None] = {}

    def visit(caller: JITCodeLibrary) -> None:
        for called in caller._linking_libraries:
            if called not in found:
                if isinstance(called, _Linkable):  # numba's own have linked in what they call
                    visit(called)
                found[called] = None

    visit(library)
    return list(reversed(found))


class _KernelCompiler(CompilerBase):
    """Numba's passes without those that do nothing for a kernel.

    Kernels have no closures, no ``with``, no loop that is unrolled over types, and nothing that is inlined before LLVM
    does so. After each pass numba goes through all variables again.
    """

    def define_pipelines(self) -> list[PassManager]:
        """One, from bytecode to machine code."""
        passes = PassManager("kernel")
        for each in PASSES:
            passes.add_pass(each, each.__name__)
        passes.finalize()
        return [passes]


class _WholeCompiler(_KernelCompiler):
    """Compiles a kernel with all that it calls."""

    def compile_extra(self, func: Any) -> Any:
        """As numba's, with Python's collector called in less often.

        Most of its millions of objects are in use until the end, and it went through all of them 20 times: an eighth of
        the time.
        """
        usual = gc.get_threshold()
        gc.set_threshold(*COLLECTED_AFTER)
        try:
            return super().compile_extra(func)
        finally:
            gc.set_threshold(*usual)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state.library = _Whole(self.state.targetctx.codegen(), "kernel")
        self.state.library.enable_object_caching()


class _CalleeCompiler(_KernelCompiler):
    """Types and lowers."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state.library = _Linkable(self.state.targetctx.codegen(), "callee")
        flags = self.state.flags
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True


class _Callee(CPUDispatcher):
    """A kernel as other kernels call it."""

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """As numba's, but ``f(0)`` and ``f(1)`` are one function and not two."""
        return super().get_call_template([unliteral(a) for a in args], {name: unliteral(a) for name, a in kws.items()})

    def add_overload(self, result: Any) -> None:
        """Keep what was lowered. Numba finds a callee's code by its entry point; this has none: something stands in."""
        entry = object()
        self.targetctx.insert_user_function(entry, result.fndesc, [result.library])
        self.overloads[tuple(result.signature.args)] = result._replace(entry_point=entry)


class Kernel(CPUDispatcher):
    """A kernel as Python calls it; where another kernel names it, its `_Callee` is meant."""

    def __init__(
        self,
        py_func: Callable[..., Any],
        locals: dict[str, Any] | None = None,
        targetoptions: dict[str, Any] | None = None,
        pipeline_class: type = _WholeCompiler,
    ) -> None:
        super().__init__(py_func, locals, targetoptions, pipeline_class)
        self._callee = _Callee(py_func, locals, targetoptions, _CalleeCompiler)

    def keep_in(self, cache: Any) -> None:
        """Ask ``cache`` before it is compiled, and hand it what was compiled."""
        self._cache = cache

    @property
    def _numba_type_(self) -> Any:
        return Dispatcher(self._callee)

    @property
    def is_known(self) -> bool:
        """Whether it is compiled or loaded, or typed to become part of another."""
        return bool(self.signatures or self._callee.signatures)

    def add_overload(self, result: Any) -> None:
        """As numba's; and its callees, which were never loaded by themselves, learn of their environments."""
        for environment in result._find_referenced_environments():
            result.library.codegen.set_env(environment.env_name, environment)
        super().add_overload(result)


def compiled_for() -> tuple[str, str, str]:
    """What kernels are compiled for: triple, model and features."""
    described: tuple[str, str, str] = CPUDispatcher.targetdescr.target_context.codegen().magic_tuple()
    return described
