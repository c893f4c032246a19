# Finds LibTorch inside the Python wheel by asking the interpreter, unless the user points elsewhere
# with Torch_DIR. Only the libraries without Python are used.
find_program(GRADTHRU_PYTHON NAMES python3 HINTS ${PROJECT_SOURCE_DIR}/.venv/bin NO_DEFAULT_PATH
             DOC "Interpreter whose torch package is used, and that runs the tests of programs")
find_program(GRADTHRU_PYTHON NAMES python3)
if(NOT Torch_DIR)
  execute_process(
    COMMAND ${GRADTHRU_PYTHON} -c "import torch; print(torch.utils.cmake_prefix_path)"
    OUTPUT_VARIABLE gradthru_torch_prefix OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE gradthru_torch_status ERROR_VARIABLE gradthru_torch_error)
  if(NOT gradthru_torch_status EQUAL 0)
    message(FATAL_ERROR "${GRADTHRU_PYTHON} cannot import torch: run ./dev build, or set Torch_DIR "
                        "or GRADTHRU_PYTHON.\n${gradthru_torch_error}")
  endif()
  set(Torch_DIR ${gradthru_torch_prefix}/Torch)
endif()
set(PACKAGE_FIND_VERSION 2.11)
include(${Torch_DIR}/TorchConfigVersion.cmake)
if(NOT PACKAGE_VERSION_COMPATIBLE)
  message(FATAL_ERROR "Torch 2.11 or newer is wanted, ${Torch_DIR} is of ${PACKAGE_VERSION}")
endif()
get_filename_component(gradthru_torch_root ${Torch_DIR}/../../.. ABSOLUTE)
set(GRADTHRU_TORCH_LIB_DIR ${gradthru_torch_root}/lib)

# Named here and not by find_package(Torch), which wants a CUDA toolkit where the wheel was built with
# CUDA, and brings libraries that need Python. Headers are system headers. What a CUDA build of
# Torch needs itself lies in other wheels, where the loader finds it and the linker need not.
add_library(gradthru_torch INTERFACE)
target_include_directories(gradthru_torch SYSTEM INTERFACE
  ${gradthru_torch_root}/include ${gradthru_torch_root}/include/torch/csrc/api/include)
target_link_libraries(gradthru_torch INTERFACE
  ${GRADTHRU_TORCH_LIB_DIR}/libtorch.so ${GRADTHRU_TORCH_LIB_DIR}/libtorch_cpu.so
  ${GRADTHRU_TORCH_LIB_DIR}/libc10.so)
target_link_options(gradthru_torch INTERFACE LINKER:--allow-shlib-undefined)
