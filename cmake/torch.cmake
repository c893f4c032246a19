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
find_package(Torch 2.11 REQUIRED)
get_filename_component(GRADTHRU_TORCH_LIB_DIR ${TORCH_LIBRARY} DIRECTORY)

# The exported Torch target carries Python-free libraries on a CPU wheel; name them ourselves so that
# nothing else slips in, with its headers as system headers.
add_library(gradthru_torch INTERFACE)
target_include_directories(gradthru_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
target_link_libraries(gradthru_torch INTERFACE
  ${GRADTHRU_TORCH_LIB_DIR}/libtorch.so ${GRADTHRU_TORCH_LIB_DIR}/libtorch_cpu.so
  ${GRADTHRU_TORCH_LIB_DIR}/libc10.so)
