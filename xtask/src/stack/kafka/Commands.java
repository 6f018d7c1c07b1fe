import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

import org.apache.kafka.common.utils.internals.Exit;

/**
 * Runs several of Kafka's command-line tools one after the other in one virtual machine: a machine for each
 * costs more than a second of two cores.
 *
 * Standard input holds the commands: the tool's class, then its arguments, a line each; an empty line ends a
 * command. Ends at the first that fails, with its exit code.
 */
public final class Commands {
    /** Ends a tool where it would have ended the machine. */
    private static final class Ended extends RuntimeException {
        Ended() {
            super("ended", null, false, false);
        }
    }

    /** What the tool first said: some catch what ends them, and say something else then. */
    private static Integer firstCode;

    public static void main(String[] unused) throws Exception {
        // The tools end the machine even when all went well.
        Exit.setExitProcedure((code, message) -> {
            if (firstCode == null) {
                firstCode = code;
                if (message != null) {
                    System.err.println(message);
                }
            }
            throw new Ended();
        });
        var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        List<String> command = new ArrayList<>();
        for (String line; (line = input.readLine()) != null; ) {
            if (!line.isEmpty()) {
                command.add(line);
                continue;
            }
            int code = run(command.get(0), command.subList(1, command.size()));
            if (code != 0) {
                System.err.println(command.get(0) + " ended with " + code);
                System.exit(code);
            }
            command.clear();
        }
        System.exit(0);
    }

    private static int run(String tool, List<String> arguments) throws Exception {
        firstCode = null;
        var main = Class.forName(tool).getMethod("main", String[].class);
        try {
            main.invoke(null, (Object) arguments.toArray(String[]::new));
        } catch (InvocationTargetException thrown) {
            if (firstCode == null) {
                throw thrown;
            }
        }
        return firstCode == null ? 0 : firstCode;
    }
}
