// Compiles a model offline for one NPU platform with Intel's compiler and leaves its schedule trace in the working folder.
// Arguments: MODEL PLATFORM TILES MODE_PARAMS. Built and run by reference.py.
#include <stdio.h>
#include "openvino/c/openvino.h"

int main(int argc, char** argv) {
  ov_core_t* core = NULL;
  ov_model_t* model = NULL;
  ov_compiled_model_t* compiled = NULL;
  ov_status_e status = argc == 5 ? ov_core_create(&core) : GENERAL_ERROR;
  if (!status) status = ov_core_read_model(core, argv[1], NULL, &model);
  if (!status)
    status = ov_core_compile_model(core, model, "NPU", 10, &compiled, "NPU_PLATFORM", argv[2], "NPU_COMPILER_TYPE",
                                   "PLUGIN", "NPU_CREATE_EXECUTOR", "0", "NPU_TILES", argv[3],
                                   "NPU_COMPILATION_MODE_PARAMS", argv[4]);
  if (status) printf("%s\n", ov_get_last_err_msg());
  return status ? 1 : 0;
}
