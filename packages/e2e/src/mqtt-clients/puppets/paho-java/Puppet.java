import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.eclipse.paho.mqttv5.client.IMqttToken;
import org.eclipse.paho.mqttv5.client.MqttActionListener;
import org.eclipse.paho.mqttv5.client.MqttAsyncClient;
import org.eclipse.paho.mqttv5.client.MqttCallback;
import org.eclipse.paho.mqttv5.client.MqttConnectionOptions;
import org.eclipse.paho.mqttv5.client.MqttDisconnectResponse;
import org.eclipse.paho.mqttv5.client.persist.MemoryPersistence;
import org.eclipse.paho.mqttv5.common.MqttException;
import org.eclipse.paho.mqttv5.common.MqttMessage;
import org.eclipse.paho.mqttv5.common.MqttSubscription;
import org.eclipse.paho.mqttv5.common.packet.MqttProperties;

/** Eclipse Paho for Java, MQTT 5, driven line by line. */
public final class Puppet implements MqttCallback, MqttActionListener {
  private static final long WAIT_MS = 20_000;
  private final List<MqttSubscription> filters = new CopyOnWriteArrayList<>();
  private final MqttAsyncClient client;

  private Puppet(String port, String id) throws MqttException {
    client = new MqttAsyncClient("tcp://127.0.0.1:" + port, id, new MemoryPersistence());
    client.setCallback(this);
  }

  public static void main(String[] args) throws Exception {
    Puppet puppet = new Puppet(args[0], args[2]);
    MqttConnectionOptions options = new MqttConnectionOptions();
    options.setAutomaticReconnect(true);
    options.setAutomaticReconnectDelay(1, 1);
    if (!args[3].equals("-")) {
      MqttMessage will = new MqttMessage("gone".getBytes());
      will.setQos(1);
      options.setWill(args[3], will);
    }
    puppet.client.connect(options).waitForCompletion(WAIT_MS);
    puppet.obey();
    puppet.client.disconnect().waitForCompletion(WAIT_MS);
    System.exit(0);
  }

  private static synchronized void say(String line) {
    System.out.println(line);
  }

  private void obey() throws Exception {
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      String[] words = line.split(" ");
      if (words[0].equals("subscribe")) {
        filters.add(new MqttSubscription(words[1], Integer.parseInt(words[2])));
        subscribe(filters.get(filters.size() - 1));
      } else if (words[0].equals("publish")) {
        publish(words[1], Integer.parseInt(words[2]), Integer.parseInt(words[3]));
      }
    }
  }

  private void subscribe(MqttSubscription filter) throws MqttException {
    client.subscribe(new MqttSubscription[] {filter}, null, this, new MqttProperties());
  }

  private void publish(String topic, int qos, int count) throws MqttException {
    List<IMqttToken> sent = new ArrayList<>();
    for (int n = 0; n < count; n++) sent.add(client.publish(topic, (qos + "-" + n).getBytes(), qos, false));
    for (IMqttToken token : sent) token.waitForCompletion(WAIT_MS);
    say("published " + sent.stream().filter(IMqttToken::isComplete).count());
  }

  @Override
  public void connectComplete(boolean reconnect, String uri) {
    say("connected");
    try {
      for (MqttSubscription filter : filters) subscribe(filter);
    } catch (MqttException error) {
      say("failed " + error);
    }
  }

  @Override
  public void messageArrived(String topic, MqttMessage message) {
    say("message " + topic + " " + message.getQos() + " " + new String(message.getPayload()));
  }

  @Override
  public void onSuccess(IMqttToken token) {
    say("subscribed " + token.getReasonCodes()[0]);
  }

  @Override
  public void onFailure(IMqttToken token, Throwable error) {
    say("failed " + error);
  }

  @Override
  public void disconnected(MqttDisconnectResponse response) {}

  @Override
  public void mqttErrorOccurred(MqttException error) {}

  @Override
  public void deliveryComplete(IMqttToken token) {}

  @Override
  public void authPacketArrived(int reasonCode, MqttProperties properties) {}
}
